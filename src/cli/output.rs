//! Standard output, and how it writes durations.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::config::value::Written;

/// A line.
pub fn put_line(text: &str) {
    put(&format!("{text}\n"));
}

/// Text. A reader that has gone away, as `head` does, misses the rest; the exit code still tells.
pub fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A count and its noun: `1 message`, `2 messages`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A duration in whole seconds: `1h2m3s`.
pub fn whole(duration: Duration) -> impl fmt::Display {
    Written(Duration::from_secs(duration.as_secs()))
}
