//! Numbers as sixteen hexadecimal digits, in ids and receipt handles. A fleet reads and writes them millions of times.
//! Standard formatting took a tenth of a fleet's time, and standard parsing an eighth of its instructions.

pub(super) const DIGITS: usize = 16;

/// A one in each byte.
const EACH: u128 = u128::MAX / 0xff;

/// Writes the digits of a number all at once. Each byte first holds a digit's value and then the digit.
fn write(number: u64) -> [u8; DIGITS] {
    let mut values = u128::from(number);
    values = (values | values << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    values = (values | values << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    values = (values | values << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    values = (values | values << 4) & (EACH * 0x0f);
    let letters = (values + EACH * 6) >> 4 & EACH;
    (values + EACH * u128::from(b'0') + letters * u128::from(b'a' - b'9' - 1)).to_be_bytes()
}

pub(super) fn push(text: &mut String, number: u64) {
    text.push_str(std::str::from_utf8(&write(number)).unwrap_or_default());
}

/// Reverses `write`, step by step. `None` for anything that `write` does not produce.
pub(super) fn read(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; DIGITS] = digits.try_into().ok()?;
    let text = u128::from_be_bytes(*digits);
    let letters = text >> 6 & EACH;
    let mut values = ((text & (EACH * 0x0f)) + letters * 9) & (EACH * 0x0f);
    values = (values | values >> 4) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    values = (values | values >> 8) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    values = (values | values >> 16) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    let number = (values | values >> 32) as u64;
    // Other characters also yield numbers.
    (write(number) == *digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_as_the_standard_library() {
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
