//! Rules for text that drainhook logs or shows.

/// Longer than any message of drainhook about bad input, in bytes.
const LINE_MAX: usize = 4096;

/// Asserts that a text is one line of bounded length, without characters that move the cursor, or reorder or hide text.
pub fn assert_line(text: &str) {
    assert!(text.len() <= LINE_MAX, "a line of {} bytes: {text:.200}…", text.len());
    let unfit = |c: char| c.is_control() || reorders_or_hides(c);
    assert!(!text.contains(unfit), "a line with control, reordering or hidden characters: {text:?}");
}

/// Asserts that a name, an id or a state is not empty or too long, and has no control characters.
pub fn assert_name(text: &str, chars_max: usize) {
    assert!((1..=chars_max).contains(&text.chars().count()), "{text:.200?} is empty or too long");
    assert!(!text.contains(char::is_control), "{text:?} has control characters");
}

/// Unicode 17's general categories Cf, Zl and Zp and its Default_Ignorable_Code_Point, without the variation selectors of
/// emoji. The list is spelled out here, because the rule must not take it from the code that it checks.
fn reorders_or_hides(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
