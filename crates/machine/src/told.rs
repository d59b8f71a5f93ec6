//! What has been said once and is not said again: bad input tends to come back as it was.

use std::collections::BTreeSet;

/// So many different things are remembered. After that nothing is news: they would fill the log, and memory.
const TOLD_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<String>);

impl Told {
    /// Whether this has not been said yet. It has now.
    pub fn is_news(&mut self, text: &str) -> bool {
        self.0.len() < TOLD_MAX && self.0.insert(text.to_owned())
    }
}
