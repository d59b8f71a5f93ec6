//! Instances by their ids. Lookups are fast, because a fleet makes millions of them.

use super::hex;

/// An odd number, so that multiplying by it can be undone, and its inverse.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
const UNMIX: u64 = 0xf1de_83e1_9937_733d;

/// The id of an instance. It looks random, and encodes the instance's place among the world's instances. `salt` differs
/// between worlds.
pub(super) fn write_id(place: u32, salt: u32) -> String {
    let mut id = String::with_capacity(3 + hex::DIGITS);
    id.push_str("i-0");
    hex::push(&mut id, fold(fold(u64::from(salt) << 32 | u64::from(place)).wrapping_mul(MIX)));
    id
}

/// The number in an instance's id, and its place. `None` if no world made the id.
fn read_id(id: &str) -> Option<(u64, usize)> {
    let [b'i', b'-', b'0', digits @ ..] = id.as_bytes() else { return None };
    let number = hex::read(digits)?;
    let place = fold(fold(number).wrapping_mul(UNMIX)) as u32;
    Some((number, place as usize))
}

/// Mixes the upper half into the lower. Applied twice, it changes nothing.
fn fold(number: u64) -> u64 {
    number ^ number >> 32
}

/// A value for each of a world's instances.
#[derive(Debug)]
pub struct ByInstance<T>(Vec<Option<(u64, T)>>);

impl<T> Default for ByInstance<T> {
    fn default() -> Self {
        ByInstance(Vec::new())
    }
}

impl<T> ByInstance<T> {
    /// Sets the value of an instance.
    pub fn insert(&mut self, id: &str, value: T) {
        let Some((number, place)) = read_id(id) else { return };
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some((number, value));
    }

    /// The value of an instance.
    pub fn get(&self, id: &str) -> Option<&T> {
        let (number, place) = read_id(id)?;
        self.0.get(place)?.as_ref().filter(|(kept, _)| *kept == number).map(|(_, value)| value)
    }

    /// The value of an instance, mutably.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let (number, place) = read_id(id)?;
        self.0.get_mut(place)?.as_mut().filter(|(kept, _)| *kept == number).map(|(_, value)| value)
    }

    /// The place of the next instance.
    pub(super) fn next_place(&self) -> u32 {
        self.0.len() as u32
    }

    /// All values, in order of launch, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten().map(|(_, value)| value)
    }

    /// All values, in order of launch.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_each_instance() {
        let mut kept = ByInstance::default();
        kept.insert(&write_id(2, 7), "a");
        kept.insert(&write_id(0, 7), "b");
        kept.insert(&write_id(2, 7), "c");
        kept.insert("nobody", "d");
        assert_eq!((kept.get(&write_id(2, 7)), kept.get(&write_id(0, 7))), (Some(&"c"), Some(&"b")));
        let others = [write_id(1, 7), write_id(3, 7), write_id(2, 8), "nobody".to_owned()];
        assert!(others.iter().all(|id| kept.get(id).is_none()));
        assert_eq!(kept.values().collect::<Vec<_>>(), [&"b", &"c"]);
        assert_eq!(kept.next_place(), 3);
    }

    #[test]
    fn ids() {
        for (place, salt) in [(0, 0), (1, 0), (9_999, 0x0123_4567), (u32::MAX, u32::MAX)] {
            assert_eq!(read_id(&write_id(place, salt)).map(|(_, place)| place), Some(place as usize));
        }
        let others = ["", "i-0", "i-0123456789abcdef", "j-00123456789abcdef"];
        assert!(others.iter().all(|id| read_id(id).is_none()));
    }
}
