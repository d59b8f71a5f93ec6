//! Texts from outside, made fit for a log line, an error and a terminal. Pure.

/// How much of an answer is quoted in an error, in characters.
const QUOTE_MAX: usize = 80;

/// The beginning of an answer, fit for a log line.
pub fn quote(body: &[u8]) -> String {
    if body.is_empty() {
        return "nothing".to_owned();
    }
    // Four bytes hold any character, and a cut one becomes a replacement character.
    let start = &body[..body.len().min(4 * (QUOTE_MAX + 1))];
    format!("{:?}", shorten(&String::from_utf8_lossy(start), QUOTE_MAX))
}

/// A text from outside, fit for a log line and a terminal: cut, and with everything escaped that would end the line,
/// move the cursor or turn the direction of the text.
pub fn printable(text: &str, max: usize) -> String {
    let mut printable = String::new();
    for c in shorten(text, max).chars() {
        match c {
            '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                printable.extend(c.escape_unicode());
            }
            c if c.is_control() => printable.extend(c.escape_debug()),
            c => printable.push(c),
        }
    }
    printable
}

/// Cuts a text, and says so.
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
    fn texts_from_outside_cannot_write_lines_or_move_the_cursor() {
        assert_eq!(printable("it's a \"b\" \\ c, é…", 80), "it's a \"b\" \\ c, é…");
        assert_eq!(printable("a\nb\x1b[31m\0\u{202e}", 80), r"a\nb\u{1b}[31m\0\u{202e}");
        assert_eq!(printable("abc", 2), "ab…");
    }
}
