//! How often a daemon calls AWS while its calls fail: three tries may follow one another; after that, there is time between
//! them, whatever the error.

use std::time::Duration;

use machine::effect::{Effect, EffectId};
use machine::event::{CallError, CallErrorKind};
use machine::{Event, Time};

/// So many failures in a row are a bad moment.
const ROW: u32 = 3;

/// After those, from one try to the next of the same call.
const PAUSE: Duration = Duration::from_secs(1);

/// The same, of heartbeats: this part of their timeout.
const HEARTBEAT_PAUSE_PART: u32 = 10;

/// Each call by itself.
#[derive(Debug, Default)]
pub(super) struct CallsMade {
    /// The drain is over: a heartbeat only looks for a new action, and keeps none alive.
    over: bool,
    rows: [Row; 6],
}

/// Tries of one call.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    under_way: Option<EffectId>,
    failures: u32,
    /// AWS has found no action: while none is known to wait, that is an answer like any other.
    refusals: u32,
    sent: Time,
}

impl CallsMade {
    /// The daemon starts, or a drain: what failed before may be tried at once.
    pub fn forget(&mut self) {
        *self = CallsMade::default();
    }

    /// The drain is over.
    pub fn ends(&mut self) {
        self.over = true;
        (self.rows[0], self.rows[2]) = (Row::default(), Row::default());
    }

    /// There is a new intention to complete: it may be tried at once.
    pub fn intends(&mut self) {
        self.rows[1] = Row::default();
    }

    /// The action waits, as is known now: what was tried before was only to find that out.
    pub fn waits(&mut self) {
        (self.rows[0], self.rows[1]) = (Row::default(), Row::default());
    }

    /// There was no such action: what was asked for it says nothing of the next.
    pub fn renews(&mut self) {
        self.moves();
        self.rows[2] = Row::default();
    }

    /// The group is another one: what was asked of the first says nothing of it.
    pub fn moves(&mut self) {
        self.waits();
        self.rows[3] = Row::default();
    }

    /// A call is made. Says what is wrong with that.
    pub fn sends(&mut self, now: Time, effect: &Effect, timeout: Option<Duration>) -> Option<String> {
        let (place, id, what) = match effect {
            Effect::Heartbeat { id, .. } => (0, *id, "heartbeats"),
            Effect::Complete { id, .. } => (1, *id, "completions"),
            Effect::DescribeInstance { id } => (2, *id, "questions about the instance"),
            Effect::DescribeHooks { id, .. } => (3, *id, "questions about hooks"),
            Effect::ReceiveMessages { id, .. } => (4, *id, "receives"),
            Effect::DeleteMessage { id, .. } => (5, *id, "deletions"),
            _ => return None,
        };
        let row = &mut self.rows[place];
        let beat = timeout.filter(|_| place == 0 && !self.over).map(|timeout| timeout / HEARTBEAT_PAUSE_PART);
        let pause = beat.unwrap_or_default().max(PAUSE);
        let gap = now.since(row.sent);
        let failures = row.failures.max(row.refusals);
        let hasty = (row.failures >= ROW && gap < pause) || (row.refusals >= ROW && gap < PAUSE);
        (row.sent, row.under_way) = (now, Some(id));
        hasty.then(|| {
            format!("tries {what} again {gap:?} after the last one, after {failures} failures in a row")
        })
    }

    /// What a call has come to.
    pub fn hears(&mut self, event: &Event) {
        match event {
            Event::HeartbeatAnswered { id, result } => self.answered(0, *id, result),
            Event::CompletionAnswered { id, result } => self.answered(1, *id, result),
            Event::InstanceDescribed { id, result } => self.answered(2, *id, result),
            Event::HooksDescribed { id, result } => self.answered(3, *id, result),
            Event::MessagesReceived { id, result } => self.answered(4, *id, result),
            Event::MessageDeleted { id, result } => self.answered(5, *id, result),
            _ => {}
        }
    }

    fn answered<T>(&mut self, place: usize, id: EffectId, result: &Result<T, CallError>) {
        let row = &mut self.rows[place];
        if row.under_way.take_if(|under_way| *under_way == id).is_some() {
            (row.failures, row.refusals) = match result {
                Ok(_) => (0, 0),
                Err(error) if error.kind == CallErrorKind::NoActiveAction => (0, row.refusals + 1),
                Err(_) => (row.failures + 1, 0),
            };
        }
    }
}
