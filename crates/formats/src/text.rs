//! Makes text from outside safe for log lines, errors and terminals. Pure.

use std::fmt;

/// How much of a response is quoted in an error, in characters.
const QUOTE_MAX: usize = 80;

/// The beginning of a response, safe for a log line.
pub fn quote(body: &[u8]) -> String {
    if body.is_empty() {
        return "nothing".to_owned();
    }
    // A character has at most four bytes. One that is cut becomes a replacement character.
    let start = &body[..body.len().min(4 * (QUOTE_MAX + 1))];
    format!("{:?}", shorten(&String::from_utf8_lossy(start), QUOTE_MAX))
}

/// How much of a parser's error is kept, in characters.
const CAUSE_MAX: usize = 120;

/// A parser's error, safe for a log line. The parser may quote what it read.
pub fn cause(error: &impl fmt::Display) -> String {
    printable(&error.to_string(), CAUSE_MAX)
}

/// Characters that change text direction, end a line or are invisible: general categories Cf, Zl and Zp and
/// Default_Ignorable_Code_Point of Unicode 17, except the variation selectors of emoji. Sorted.
const INVISIBLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character changes text direction, ends a line or is invisible.
pub fn is_invisible(c: char) -> bool {
    INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Makes text safe for a log line and a terminal. Cuts it to `max` characters and escapes everything that would end the
/// line, move the cursor, change text direction or be invisible.
pub fn printable(text: &str, max: usize) -> String {
    let mut printable = String::new();
    for c in shorten(text, max).chars() {
        match c {
            c if c.is_control() => printable.extend(c.escape_debug()),
            c if is_invisible(c) => printable.extend(c.escape_unicode()),
            c => printable.push(c),
        }
    }
    printable
}

/// Whether the text can be a name, an id or a state from AWS: 1 to `max` characters without control characters.
///
/// Names go into the journal, the log and other calls, so anything else is rejected.
pub fn is_text(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count()) && !text.contains(char::is_control)
}

/// Cuts the text to `max` characters. A cut text ends with `…`.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_short_and_on_one_line() {
        assert_eq!(quote(b""), "nothing");
        assert_eq!(quote(b"a\nb"), r#""a\nb""#);
        let long = quote("é".repeat(1000).as_bytes());
        assert_eq!(long.chars().count(), QUOTE_MAX + 3);
        assert!(quote(&[0xff; 3]).contains('\u{fffd}'));
    }

    #[test]
    fn outside_text_cannot_break_lines_or_move_the_cursor() {
        assert_eq!(printable("it's a \"b\" \\ c, é…", 80), "it's a \"b\" \\ c, é…");
        assert_eq!(printable("a\nb\x1b[31m\0\u{202e}", 80), r"a\nb\u{1b}[31m\0\u{202e}");
        assert_eq!(printable("abc", 2), "ab…");
    }

    /// Text contains a character that changes direction or is invisible, one of each kind.
    #[test]
    fn invisible_characters_are_shown() {
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{600}',
            '\u{61c}',
            '\u{6dd}',
            '\u{70f}',
            '\u{891}',
            '\u{8e2}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{202d}',
            '\u{2060}',
            '\u{2066}',
            '\u{206f}',
            '\u{3164}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fffb}',
            '\u{110bd}',
            '\u{110cd}',
            '\u{1343f}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e007f}',
            '\u{e0100}',
        ] {
            let text = format!("a{c}b");
            assert_eq!(printable(&text, 80), format!("a{}b", c.escape_unicode()));
        }
        for plain in ["naïve", "日本語", "עברית", "\u{26a0}\u{fe0f}", "e\u{301}", "\u{fffd}"] {
            assert_eq!(printable(plain, 80), plain);
        }
    }
}
