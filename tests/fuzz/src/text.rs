//! What a text must be that is logged or shown.

use formats::text::is_invisible;

/// Longer than any sentence that drainhook makes of bad input, in bytes.
const LINE_MAX: usize = 4096;

/// A line of bounded length that ends no other, moves no cursor and turns no text around.
pub fn assert_line(text: &str) {
    assert!(text.len() <= LINE_MAX, "a line of {} bytes: {text:.200}…", text.len());
    let unfit = |c: char| c.is_control() || is_invisible(c);
    assert!(!text.contains(unfit), "a line that does more than stand there: {text:?}");
}

/// A name, an id or a state: one that is not empty, of so many characters at most, all of them printable.
pub fn assert_name(text: &str, chars_max: usize) {
    assert!((1..=chars_max).contains(&text.chars().count()), "{text:.200?} is empty or too long");
    assert!(!text.contains(char::is_control), "{text:?} is no name");
}
