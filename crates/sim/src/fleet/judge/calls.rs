//! How often a daemon calls AWS while its calls fail. The first three tries may follow one another at once. After that each
//! try must wait, after any error.

use std::time::Duration;

use machine::effect::{Effect, EffectId};
use machine::event::{CallError, CallErrorKind};
use machine::{Event, Time};

/// After this many failures in a row, tries must be spaced out.
const ROW: u32 = 3;

/// The shortest time between tries of the same call after that.
const PAUSE: Duration = Duration::from_secs(1);

/// Heartbeats must wait for this part of their timeout.
const HEARTBEAT_PAUSE_PART: u32 = 10;

/// The calls of one daemon, each kind by itself.
#[derive(Debug, Default)]
pub(super) struct CallsMade {
    /// The drain is over: heartbeats only look for a new action and keep none alive.
    over: bool,
    rows: [Row; 7],
}

/// The tries of one kind of call.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    under_way: Option<EffectId>,
    failures: u32,
    /// AWS found no action. This is an ordinary answer while no action is known to wait.
    refusals: u32,
    sent: Time,
}

impl CallsMade {
    /// The daemon or a drain starts. Calls that failed before may be tried at once.
    pub fn forget(&mut self) {
        *self = CallsMade::default();
    }

    /// The drain ends.
    pub fn ends(&mut self) {
        self.over = true;
        (self.rows[0], self.rows[2]) = (Row::default(), Row::default());
    }

    /// A new intention to complete may be tried at once.
    pub fn intends(&mut self) {
        self.rows[1] = Row::default();
    }

    /// The action is now known to wait. Earlier tries only probed for that.
    pub fn waits(&mut self) {
        (self.rows[0], self.rows[1]) = (Row::default(), Row::default());
    }

    /// The expected action does not exist, so failures before do not count for the next one.
    pub fn renews(&mut self) {
        self.moves();
        self.rows[2] = Row::default();
    }

    /// The group has changed, so failures before do not count.
    pub fn moves(&mut self) {
        self.waits();
        self.rows[3] = Row::default();
    }

    /// The daemon makes a call. Returns what is wrong with it.
    pub fn sends(&mut self, now: Time, effect: &Effect, timeout: Option<Duration>) -> Option<String> {
        let (place, id, what) = match effect {
            Effect::Heartbeat { id, .. } => (0, *id, "heartbeats"),
            Effect::Complete { id, .. } => (1, *id, "completions"),
            Effect::DescribeInstance { id } => (2, *id, "DescribeAutoScalingInstances"),
            Effect::DescribeHooks { id, .. } => (3, *id, "DescribeLifecycleHooks"),
            Effect::ReceiveMessages { id, .. } => (4, *id, "receives"),
            Effect::DeleteMessage { id, .. } => (5, *id, "deletions"),
            Effect::Protect { id, .. } => (6, *id, "SetInstanceProtection"),
            _ => return None,
        };
        let row = &mut self.rows[place];
        let beat = timeout.filter(|_| place == 0 && !self.over).map(|timeout| timeout / HEARTBEAT_PAUSE_PART);
        let pause = beat.unwrap_or_default().max(PAUSE);
        let gap = now.since(row.sent);
        let failures = row.failures.max(row.refusals);
        let hasty = (row.failures >= ROW && gap < pause) || (row.refusals >= ROW && gap < PAUSE);
        (row.sent, row.under_way) = (now, Some(id));
        hasty.then(|| format!("tried {what} again after only {gap:?}, with {failures} failures in a row"))
    }

    /// Records the result of a call.
    pub fn hears(&mut self, event: &Event) {
        match event {
            Event::HeartbeatAnswered { id, result } => self.answered(0, *id, result),
            Event::CompletionAnswered { id, result } => self.answered(1, *id, result),
            Event::InstanceDescribed { id, result } => self.answered(2, *id, result),
            Event::HooksDescribed { id, result } => self.answered(3, *id, result),
            Event::MessagesReceived { id, result } => self.answered(4, *id, result),
            Event::MessageDeleted { id, result } => self.answered(5, *id, result),
            Event::ProtectionAnswered { id, result } => self.answered(6, *id, result),
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
