//! Instances by their ids, found fast: a fleet looks them up many million times.

use std::collections::BTreeMap;

const ID_PREFIX: &str = "i-0";
const DIGITS: usize = 16;

/// The id of the instance of that number.
pub(super) fn write_id(number: u64) -> String {
    format!("{ID_PREFIX}{number:016x}")
}

/// The number in an instance's id; `None` where no world has made it.
fn read_id(id: &str) -> Option<u64> {
    let digits = id.strip_prefix(ID_PREFIX)?;
    let well_formed = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let ours = digits.len() == DIGITS && digits.bytes().all(well_formed);
    ours.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Something for each of a world's instances, in the order of their ids.
#[derive(Debug)]
pub struct ByInstance<T> {
    by_number: BTreeMap<u64, T>,
}

impl<T> Default for ByInstance<T> {
    fn default() -> Self {
        ByInstance { by_number: BTreeMap::new() }
    }
}

impl<T> ByInstance<T> {
    /// Keeps it for an instance, in place of what was there. An id that no world has made is nobody's.
    pub fn insert(&mut self, id: &str, value: T) {
        if let Some(number) = read_id(id) {
            self.by_number.insert(number, value);
        }
    }

    /// What is kept for an instance.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.by_number.get(&read_id(id)?)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.by_number.get_mut(&read_id(id)?)
    }

    /// All that is kept.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.by_number.values()
    }

    /// For how many instances something is kept.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for number in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(read_id(&write_id(number)), Some(number));
        }
        let others = [
            "",
            "i-0",
            "i-00123456789ABCDEF",
            "i-0+123456789abcdef",
            "i-0123456789abcdef",
            "j-00123456789abcdef",
        ];
        assert!(others.iter().all(|id| read_id(id).is_none()));
    }
}
