//! Writes to standard output.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::config::duration::Written;

/// Writes a line.
pub fn put_line(text: &str) {
    put(&format!("{text}\n"));
}

/// Writes text. Ignores errors, because a reader such as `head` may close the pipe early.
pub fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A count and its noun: `1 message`, `2 messages`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A text as one word of a POSIX shell, quoted if necessary.
pub fn word(text: &str) -> Cow<'_, str> {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/:._-+,@%=".contains(char);
    if !text.is_empty() && text.chars().all(plain) { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

/// The same, always quoted.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A duration in whole seconds, such as `1h2m3s`.
pub fn whole(duration: Duration) -> impl fmt::Display {
    Written(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words() {
        assert_eq!(word("http://127.0.0.1:4711"), "http://127.0.0.1:4711");
        assert_eq!(word("http://[::1]:4711"), "'http://[::1]:4711'");
        assert_eq!(word("1764000000000x60"), "1764000000000x60");
        assert_eq!(word("/tmp/it's here"), r"'/tmp/it'\''s here'");
        assert_eq!(word("~/$HOME"), "'~/$HOME'");
        assert_eq!(word(""), "''");
    }
}
