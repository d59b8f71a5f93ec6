//! Instances by their ids, found fast: a fleet looks them up many million times.

use std::collections::BTreeMap;

use super::hex;

const ID_PREFIX: &str = "i-0";

/// The id of the instance of that number.
pub(super) fn write_id(number: u64) -> String {
    let mut id = String::with_capacity(ID_PREFIX.len() + hex::DIGITS);
    id.push_str(ID_PREFIX);
    hex::push(&mut id, number);
    id
}

/// The number in an instance's id; `None` where no world has made it.
fn read_id(id: &str) -> Option<u64> {
    hex::read(id.strip_prefix(ID_PREFIX)?.as_bytes())
}

/// Something for each of a world's instances.
#[derive(Debug)]
pub struct ByInstance<T> {
    values: Vec<T>,
    /// Where each stands: apart from them, for it is small, and looked through in every search.
    places: BTreeMap<u64, usize>,
}

impl<T> Default for ByInstance<T> {
    fn default() -> Self {
        ByInstance { values: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T> ByInstance<T> {
    /// Keeps it for an instance, in place of what was there. An id that no world has made is nobody's.
    pub fn insert(&mut self, id: &str, value: T) {
        let Some(number) = read_id(id) else { return };
        let place = *self.places.entry(number).or_insert(self.values.len());
        match self.values.get_mut(place) {
            Some(before) => *before = value,
            None => self.values.push(value),
        }
    }

    /// What is kept for an instance.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.values.get(*self.places.get(&read_id(id)?)?)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.values.get_mut(*self.places.get(&read_id(id)?)?)
    }

    /// All that is kept, in the order in which the instances came.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// For how many instances something is kept.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_each_instance() {
        let mut kept = ByInstance::default();
        kept.insert(&write_id(7), "a");
        kept.insert(&write_id(3), "b");
        kept.insert(&write_id(7), "c");
        kept.insert("nobody", "d");
        assert_eq!((kept.get(&write_id(7)), kept.get(&write_id(3))), (Some(&"c"), Some(&"b")));
        assert_eq!((kept.get(&write_id(1)), kept.get("nobody")), (None, None));
        assert_eq!(kept.values().collect::<Vec<_>>(), [&"c", &"b"]);
    }

    #[test]
    fn ids() {
        for number in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(read_id(&write_id(number)), Some(number));
        }
        let others = ["", "i-0", "i-0123456789abcdef", "j-00123456789abcdef"];
        assert!(others.iter().all(|id| read_id(id).is_none()));
    }
}
