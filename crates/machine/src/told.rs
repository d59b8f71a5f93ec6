//! Remembers what was reported, so that repeated bad input is reported once.

use std::collections::BTreeSet;

/// The most texts that are remembered. After that nothing is news, so that bad input cannot fill the log or memory.
const TOLD_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<String>);

impl Told {
    /// Remembers the text. Returns whether it is new.
    pub fn is_news(&mut self, text: &str) -> bool {
        self.0.len() < TOLD_MAX && self.0.insert(text.to_owned())
    }
}
