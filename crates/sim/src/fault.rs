//! What goes wrong in a fleet's run, and how often. Pure.

use std::time::Duration;

use machine::Time;

use super::world::{Delivery, Throttle};

/// A kind of fault. Its name is what `--without` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call never leaves the instance.
    CallUnsent,
    /// A call's answer is lost; it may have taken effect.
    CallUnanswered,
    /// One bucket for the account lets only so many Auto Scaling calls through.
    Throttling,
    /// An event never reaches the queue.
    EventLost,
    /// Events arrive twice, late and out of order.
    EventDisorder,
    /// A message that was deleted is received once more: a server that had a copy of it was away (SQS developer guide,
    /// "At-least-once delivery").
    Redelivery,
    /// A message in the queue that tells of no instance of the fleet.
    StrayMessage,
    /// The metadata service is silent for a while, or denies what it has said.
    ImdsSilent,
    /// The metadata service says what was so some seconds ago.
    ImdsStale,
    /// An agent's process ends in the middle of its work, and is started again; now and then it is not.
    AgentCrash,
    /// An agent answers nothing for a while.
    AgentHang,
    /// Every agent of the run holds work that never ends.
    AgentStuck,
    /// An agent says once that it is draining what it has long finished.
    AgentLie,
    /// The daemon is killed right before or right after something that it does.
    DaemonCrash,
    /// The journal is gone, cut off or another instance's when the daemon comes back: neither of the last two is used
    /// (`src/daemon/journal`), so to the machine it is all one.
    JournalLost,
    /// A write of the journal fails.
    JournalRefused,
    /// A write of the journal takes some seconds.
    JournalSlow,
    /// The clock is some minutes off when the daemon comes back.
    ClockJump,
    /// The instance boots again: the agent's work is lost.
    Reboot,
    /// The instance stands still for some minutes.
    Hibernation,
    /// EC2 takes the instance back, with two minutes' notice and without hooks.
    SpotInterruption,
    /// The hook has another timeout from now on.
    HookEdited,
    /// The hook is deleted, and made again some minutes later.
    HookDeleted,
    /// The group has another hook, whose actions another program completes, or which expire.
    SeveralHooks,
    /// The group puts its instances into a warm pool, and takes them out again.
    WarmPool,
    /// The group keeps an instance whose action was abandoned, until an operator releases it.
    Retention,
    /// Every agent of the run accepts a drain request without a document, and holds or ignores status requests.
    AgentMute,
    /// Every agent of the run blocks its drain request, and now and then answers it early, with work in flight.
    AgentBlocks,
    /// A status document has optional fields that do not mean anything.
    OddDocument,
    /// Every instance of the run has two or three agents, each with its own timeout.
    SeveralAgents,
    /// Draining starts when Wait has begun, with or without a load balancer.
    DrainAtWait,
    /// The disk of an instance refuses every write from now on.
    DiskRefuses,
    /// The hook's global timeout ends before the agents' own time.
    GlobalTimeout,
    /// An instance is detached from its group and attached to another one.
    GroupChange,
    /// The clock is minutes or an hour off when the daemon starts, and is corrected within minutes.
    ClockCorrected,
    /// The credentials that a daemon uses are replaced: AWS refuses those that it has.
    CredentialsRotated,
    /// A heartbeat takes effect, and its answer is not believed, for a whole drain.
    HeartbeatDoubted,
    /// Every call of a kind fails at once, for a whole drain.
    CallsFail,
    /// Stale, forged and contradicting messages about an instance of the fleet.
    FalseMessage,
    /// EC2 schedules maintenance, and now and then moves or cancels it.
    Maintenance,
    /// EC2 takes a capacity reservation back: only a message tells of it, and no hook runs.
    CapacityReservation,
}

impl Fault {
    /// Every kind, in their order, with its rate in the rough profile: for each chance, each instance and hour, or each run.
    pub const ROUGH: [(Fault, f64); 41] = [
        (Fault::CallUnsent, 0.03),
        (Fault::CallUnanswered, 0.05),
        (Fault::Throttling, 1.0),
        (Fault::EventLost, 0.1),
        (Fault::EventDisorder, 0.2),
        (Fault::Redelivery, 0.1),
        (Fault::StrayMessage, 4.0),
        (Fault::ImdsSilent, 0.5),
        (Fault::ImdsStale, 0.2),
        (Fault::AgentCrash, 0.2),
        (Fault::AgentHang, 0.5),
        (Fault::AgentStuck, 0.1),
        (Fault::AgentLie, 0.02),
        (Fault::DaemonCrash, 0.01),
        (Fault::JournalLost, 0.05),
        (Fault::JournalRefused, 0.05),
        (Fault::JournalSlow, 0.05),
        (Fault::ClockJump, 0.1),
        (Fault::Reboot, 0.1),
        (Fault::Hibernation, 0.1),
        (Fault::SpotInterruption, 0.05),
        (Fault::HookEdited, 1.0),
        (Fault::HookDeleted, 0.3),
        (Fault::SeveralHooks, 0.2),
        (Fault::WarmPool, 0.2),
        (Fault::Retention, 0.2),
        (Fault::AgentMute, 0.2),
        (Fault::AgentBlocks, 0.15),
        (Fault::OddDocument, 0.3),
        (Fault::SeveralAgents, 0.2),
        (Fault::DrainAtWait, 0.15),
        (Fault::DiskRefuses, 0.05),
        (Fault::GlobalTimeout, 0.1),
        (Fault::GroupChange, 0.4),
        (Fault::ClockCorrected, 0.1),
        (Fault::CredentialsRotated, 0.5),
        (Fault::HeartbeatDoubted, 0.05),
        (Fault::CallsFail, 0.05),
        (Fault::FalseMessage, 0.5),
        (Fault::Maintenance, 0.3),
        (Fault::CapacityReservation, 0.03),
    ];

    /// Kinds that the machine does not withstand yet. The rough profile leaves them out, and tests/mutations/run fails
    /// when one of them violates nothing any more.
    pub const PENDING: &[Fault] = &[Fault::GlobalTimeout, Fault::CallsFail];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Fault::CallUnsent => "call-unsent",
            Fault::CallUnanswered => "call-unanswered",
            Fault::Throttling => "throttling",
            Fault::EventLost => "event-lost",
            Fault::EventDisorder => "event-disorder",
            Fault::Redelivery => "redelivery",
            Fault::StrayMessage => "stray-message",
            Fault::ImdsSilent => "imds-silent",
            Fault::ImdsStale => "imds-stale",
            Fault::AgentCrash => "agent-crash",
            Fault::AgentHang => "agent-hang",
            Fault::AgentStuck => "agent-stuck",
            Fault::AgentLie => "agent-lie",
            Fault::DaemonCrash => "daemon-crash",
            Fault::JournalLost => "journal-lost",
            Fault::JournalRefused => "journal-refused",
            Fault::JournalSlow => "journal-slow",
            Fault::ClockJump => "clock-jump",
            Fault::Reboot => "reboot",
            Fault::Hibernation => "hibernation",
            Fault::SpotInterruption => "spot-interruption",
            Fault::HookEdited => "hook-edited",
            Fault::HookDeleted => "hook-deleted",
            Fault::SeveralHooks => "several-hooks",
            Fault::WarmPool => "warm-pool",
            Fault::Retention => "retention",
            Fault::AgentMute => "agent-mute",
            Fault::AgentBlocks => "agent-blocks",
            Fault::OddDocument => "odd-document",
            Fault::SeveralAgents => "several-agents",
            Fault::DrainAtWait => "drain-at-wait",
            Fault::DiskRefuses => "disk-refuses",
            Fault::GlobalTimeout => "global-timeout",
            Fault::GroupChange => "group-change",
            Fault::ClockCorrected => "clock-corrected",
            Fault::CredentialsRotated => "credentials-rotated",
            Fault::HeartbeatDoubted => "heartbeat-doubted",
            Fault::CallsFail => "calls-fail",
            Fault::FalseMessage => "false-message",
            Fault::Maintenance => "maintenance",
            Fault::CapacityReservation => "capacity-reservation",
        }
    }

    /// Finds one by its name.
    pub fn find(name: &str) -> Option<Fault> {
        Fault::ROUGH.iter().map(|(fault, _)| *fault).find(|fault| fault.name() == name)
    }
}

/// The faults of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Of each kind, in their order; 0 where it is off.
    rates: [f64; Fault::ROUGH.len()],
    /// No fault begins from this time on.
    pub until: Option<Time>,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Faults { rates: [0.0; Fault::ROUGH.len()], until: None }
    }

    /// Everything goes wrong now and then.
    pub fn rough() -> Self {
        let all = Faults { rates: Fault::ROUGH.map(|(_, rate)| rate), until: None };
        Fault::PENDING.iter().fold(all, |faults, fault| faults.without(*fault))
    }

    /// The same, and one kind at its rate in the rough profile.
    pub fn with(mut self, fault: Fault) -> Self {
        self.rates[fault as usize] = Fault::ROUGH[fault as usize].1;
        self
    }

    /// The kinds that are on.
    pub fn kinds(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ROUGH.iter().map(|(fault, _)| *fault).filter(|fault| self.is_on(*fault))
    }

    /// The same, but for one kind.
    pub fn without(mut self, fault: Fault) -> Self {
        self.rates[fault as usize] = 0.0;
        self
    }

    /// Whether a kind happens at all.
    pub fn is_on(&self, fault: Fault) -> bool {
        self.rates[fault as usize] > 0.0
    }

    /// The rate of a kind; 0 where it is off, or over.
    pub fn rate(&self, fault: Fault, now: Time) -> f64 {
        let over = self.until.is_some_and(|until| now >= until);
        if over { 0.0 } else { self.rates[fault as usize] }
    }

    /// Whether one chance of a kind is taken.
    pub fn strikes(&self, rng: &mut fastrand::Rng, fault: Fault, now: Time) -> bool {
        let rate = self.rate(fault, now);
        rate > 0.0 && rng.f64() < rate
    }

    /// How events travel.
    pub fn delivery(&self, now: Time) -> Delivery {
        let rate = |fault| self.rate(fault, now);
        let disorder = rate(Fault::EventDisorder);
        let calm = Delivery::default();
        Delivery {
            loss: rate(Fault::EventLost),
            duplication: disorder,
            reordering: disorder,
            redelivery: rate(Fault::Redelivery),
            delay_max: if disorder > 0.0 { Duration::from_secs(90) } else { calm.delay_max },
            ..calm
        }
    }

    /// The account's bucket: too small for half of so many instances at once, and large enough for one after the other.
    pub fn throttle(&self, instances: u32) -> Option<Throttle> {
        let limits = Throttle { burst: instances / 4 + 1, per_second: f64::from(instances) / 20.0 + 0.5 };
        self.is_on(Fault::Throttling).then_some(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_in_their_order() {
        for (place, (fault, rate)) in Fault::ROUGH.into_iter().enumerate() {
            assert_eq!(fault as usize, place);
            assert_eq!(Faults::none().with(fault).rate(fault, Time::default()), rate);
            let off = Faults::rough().with(fault).without(fault);
            assert!(off.kinds().all(|on| on != fault), "{fault:?}");
            assert_eq!(Fault::find(fault.name()), Some(fault));
        }
        assert_eq!(Faults::none().kinds().count(), 0);
    }
}
