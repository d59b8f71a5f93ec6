//! Writes to standard output.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::config::value::Written;

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

/// A duration in whole seconds, such as `1h2m3s`.
pub fn whole(duration: Duration) -> impl fmt::Display {
    Written(Duration::from_secs(duration.as_secs()))
}
