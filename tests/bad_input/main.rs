//! Bad input of every kind, given to the real daemon while it drains: it says what it expected, and loses nothing.
//!
//! docs/failure-modes.md lists what is tried here, and what comes of it.

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod aws;
mod configuration;
mod control;
mod imds;
mod journal;
mod queue;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim::world::{HookSpec, Work, WorldConfig};
use support::Reply;
use support::daemon::{Daemon, eventually};

/// What no log line is longer than, in bytes: a text from outside is cut.
const LINE_MAX: usize = 2500;

/// A world with work that takes so long, and with a hook so slow that no machine is too slow for it.
fn world(items: u32, secs: u64) -> WorldConfig {
    WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(7200))],
        work: Work { items, duration: Duration::from_secs(secs), ..Work::default() },
        ..WorldConfig::default()
    }
}

/// All bad answers to a kind of request.
type Answers = dyn Fn(&str) -> Vec<Reply> + Send + Sync;

/// Bad answers that each kind of request is given in turn, once they have begun; after the last it is left alone.
#[derive(Clone)]
struct BadAnswers {
    answers: Arc<Answers>,
    begun: Arc<AtomicBool>,
    given: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl BadAnswers {
    fn new(answers: impl Fn(&str) -> Vec<Reply> + Send + Sync + 'static) -> Self {
        BadAnswers { answers: Arc::new(answers), begun: Arc::default(), given: Arc::default() }
    }

    fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// The next for this kind of request.
    fn next(&self, kind: &str) -> Option<Reply> {
        if !self.begun.load(Ordering::Relaxed) {
            return None;
        }
        let mut given = self.given.lock().expect("no panics");
        let given = given.entry(kind.to_owned()).or_default();
        let answer = (self.answers)(kind).into_iter().nth(*given);
        *given += usize::from(answer.is_some());
        answer
    }

    fn are_used_up(&self, kinds: &[&str]) -> bool {
        let given = self.given.lock().expect("no panics");
        let is_used_up = |kind: &&str| given.get(*kind).copied().unwrap_or(0) == (self.answers)(kind).len();
        kinds.iter().all(is_used_up)
    }

    async fn used_up(&self, kinds: &[&str]) {
        eventually(&format!("all bad answers to {kinds:?}"), || self.are_used_up(kinds)).await;
    }
}

/// The log has a line for each of these words, and every line is short and plain text in JSON.
async fn assert_told(daemon: &Daemon, all: &[&[&str]]) {
    for words in all {
        daemon.logged(words).await;
    }
    assert_plain(daemon);
}

fn assert_plain(daemon: &Daemon) {
    for line in daemon.log().lines() {
        assert!(line.len() < LINE_MAX, "{} bytes: {line:.300}", line.len());
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let message = line["message"].as_str().unwrap_or_default();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}
