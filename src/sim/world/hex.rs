//! Numbers as sixteen hexadecimal digits, in ids and receipt handles: a fleet writes and reads them many million times,
//! and formatting them took a tenth of its time.

pub(super) const DIGITS: usize = 16;

pub(super) fn push(text: &mut String, number: u64) {
    let digit = |place: usize| b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 15];
    let digits: [u8; DIGITS] = std::array::from_fn(digit);
    text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
}

/// `None` for anything but what `push` writes.
pub(super) fn read(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; DIGITS] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_library_formats_it() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut text = String::new();
            push(&mut text, number);
            assert_eq!(text, format!("{number:016x}"));
            assert_eq!(read(text.as_bytes()), Some(number));
        }
        for other in ["", "0", "0123456789ABCDEF", "+123456789abcdef", "0123456789abcdef0"] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
    }
}
