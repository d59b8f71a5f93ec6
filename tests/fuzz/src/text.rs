//! What a text must be that is logged or shown.

/// Longer than any sentence that drainhook makes of bad input, in bytes.
const LINE_MAX: usize = 4096;

/// A line of bounded length that ends no other, moves no cursor and turns no text around.
pub fn assert_line(text: &str) {
    assert!(text.len() <= LINE_MAX, "a line of {} bytes: {text:.200}…", text.len());
    let unfit = |c: char| c.is_control() || turns_or_hides(c);
    assert!(!text.contains(unfit), "a line that does more than stand there: {text:?}");
}

/// A name, an id or a state: one that is not empty, of so many characters at most, all of them printable.
pub fn assert_name(text: &str, chars_max: usize) {
    assert!((1..=chars_max).contains(&text.chars().count()), "{text:.200?} is empty or too long");
    assert!(!text.contains(char::is_control), "{text:?} is no name");
}

/// Unicode 17's general categories Cf, Zl and Zp and its Default_Ignorable_Code_Point, without the variation selectors of
/// emoji. Spelled out: the rule must not take the list from the code that it checks.
fn turns_or_hides(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
