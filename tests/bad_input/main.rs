//! Sends bad input of every kind to the real daemon while it drains. The daemon logs what it expected, and loses no work.
//!
//! docs/failure-modes.md lists the inputs and the results.

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod aws;
mod configuration;
mod control;
mod imds;
mod journal;
mod probe;
mod queue;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim::world::{HookSpec, LifeCycle, Work, WorldConfig};
use support::Reply;
use support::daemon::{Daemon, eventually};

/// The longest log line, in bytes. The daemon truncates text from outside.
const LINE_MAX: usize = 2500;

/// A world with this much work, and a hook with a long timeout, so that tests pass on slow machines.
fn world(items: u32, secs: u64) -> WorldConfig {
    WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(7200))],
        work: Work { items, duration: Duration::from_secs(secs), ..Work::default() },
        // Its daemon polls all categories of IMDS.
        life_cycle: LifeCycle::Spot,
        ..WorldConfig::default()
    }
}

/// All bad responses to one kind of request.
type Answers = dyn Fn(&str) -> Vec<Reply> + Send + Sync;

/// Gives each kind of request its bad responses in turn, from [`begin`](Self::begin) on. After the last one, requests get
/// the real responses.
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

    /// The next bad response to this kind of request.
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

/// Asserts that the log has a line with each of these sets of words, and that every line is JSON, short, and without control
/// characters.
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
