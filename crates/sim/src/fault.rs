//! The faults that a fleet's run injects, and how often. Pure.

use std::time::Duration;

use machine::Time;

use super::world::{Delivery, Throttle};

/// A kind of fault. `--without` takes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call never leaves the instance.
    CallUnsent,
    /// The answer to a call is lost. The call may have taken effect.
    CallUnanswered,
    /// All Auto Scaling calls of the account share one token bucket.
    Throttling,
    /// An event never reaches the queue.
    EventLost,
    /// Events arrive twice, late or out of order.
    EventDisorder,
    /// A deleted message is received once more, because an SQS server that had a copy was unavailable (SQS developer guide,
    /// "At-least-once delivery").
    Redelivery,
    /// The queue holds a message about no instance of the fleet.
    StrayMessage,
    /// The metadata service is silent for a while, or denies what it said before.
    ImdsSilent,
    /// The metadata service returns answers that are seconds old.
    ImdsStale,
    /// An agent's process crashes in the middle of its work. Usually it is restarted.
    AgentCrash,
    /// An agent answers no request for a while.
    AgentHang,
    /// Every agent of the run holds work that never finishes.
    AgentStuck,
    /// An agent that has drained says once that it is draining.
    AgentLie,
    /// The daemon is killed right before or right after an effect.
    DaemonCrash,
    /// When the daemon restarts, its journal is missing, truncated or another instance's. `src/daemon/journal` uses neither
    /// of the last two, so the machine sees no journal in all three cases.
    JournalLost,
    /// A journal write fails.
    JournalRefused,
    /// A journal write takes some seconds.
    JournalSlow,
    /// The clock is some minutes off when the daemon restarts.
    ClockJump,
    /// The instance reboots, and the agent's work is lost.
    Reboot,
    /// The instance is frozen for some minutes.
    Hibernation,
    /// EC2 interrupts a spot instance with two minutes' notice, and no hook runs.
    SpotInterruption,
    /// The hook's timeout changes.
    HookEdited,
    /// The hook is deleted, and created again some minutes later.
    HookDeleted,
    /// The group has another hook. Another program completes its actions, or they expire.
    SeveralHooks,
    /// The group moves instances into a warm pool and out of it.
    WarmPool,
    /// The group retains an instance whose action was abandoned, until an operator releases it.
    Retention,
    /// Every agent of the run accepts a drain request without a document. It holds or ignores status requests.
    AgentMute,
    /// Every agent of the run blocks its drain request. Some answer early, with work in flight.
    AgentBlocks,
    /// Every agent of the run is drained by a process that runs until it has drained. Some of these processes fail.
    AgentRuns,
    /// Every agent of the run is a systemd unit. A signal tells its process to drain, and a second one cuts its work off.
    AgentSignaled,
    /// Every agent of the run reports only a number. Some readings of it fail, and some are wrong for a moment.
    AgentCounts,
    /// Every daemon of the run has one to three after steps. Some fail, some hang, and some cannot be started.
    AfterSteps,
    /// Some agents of the run have a force step, which ends their work before their deadline. Some fail, and some hang.
    ForceSteps,
    /// A status document has optional fields with meaningless values.
    OddDocument,
    /// Every instance of the run has two or three agents, each with its own timeout.
    SeveralAgents,
    /// The agents of such a run are drained one after the other, or some of them together.
    AgentOrder,
    /// Draining starts when Wait begins, with or without a load balancer.
    DrainAtWait,
    /// From now on an instance's disk refuses every write.
    DiskRefuses,
    /// The hook's global timeout ends before the agents' own deadlines.
    GlobalTimeout,
    /// An instance is detached from its group and attached to another.
    GroupChange,
    /// The clock is minutes or an hour off when the daemon starts, and is corrected within minutes.
    ClockCorrected,
    /// The daemon's credentials are replaced, and AWS refuses the old ones.
    CredentialsRotated,
    /// Heartbeats take effect, but for a whole drain the daemon does not recognize their answers.
    HeartbeatDoubted,
    /// Heartbeats fail at once for a whole drain, or all calls do.
    CallsFail,
    /// The queue holds stale, forged or contradictory messages about an instance of the fleet.
    FalseMessage,
    /// EC2 schedules maintenance. Some of it is moved or canceled.
    Maintenance,
    /// EC2 reclaims a capacity reservation. Only a message says so, and no hook runs.
    CapacityReservation,
    /// The group has a launching hook, which the daemons complete once their agents are ready. Some never are. Instances are
    /// launched during the run.
    LaunchHook,
    /// The Capacity Block that all instances run in ends. Only a message says so, and it names no instance.
    CapacityBlock,
    /// Auto Scaling replaces the root volumes of instances. IMDS does not say so, and the journal is often gone.
    RootVolume,
    /// The agents of the run have work at times, and the daemons protect busy instances from scale-in.
    BusyProtection,
    /// The instances are targets of one or two target groups that the group does not manage. Calls to ELB fail, or one of them is
    /// denied.
    TargetGroups,
    /// An instance is put into standby, and returned to service minutes later.
    Standby,
}

impl Fault {
    /// Every kind in order, with its rate in the rough profile. The rate is per chance, per instance and hour, or per run.
    pub const ROUGH: [(Fault, f64); 53] = [
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
        (Fault::AgentRuns, 0.15),
        (Fault::AgentSignaled, 0.15),
        (Fault::AgentCounts, 0.15),
        (Fault::AfterSteps, 0.2),
        (Fault::ForceSteps, 0.2),
        (Fault::OddDocument, 0.3),
        (Fault::SeveralAgents, 0.2),
        (Fault::AgentOrder, 0.5),
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
        (Fault::LaunchHook, 0.2),
        (Fault::CapacityBlock, 0.4),
        (Fault::RootVolume, 0.2),
        (Fault::BusyProtection, 0.2),
        (Fault::TargetGroups, 0.2),
        (Fault::Standby, 0.3),
    ];

    /// Kinds that the machine does not withstand yet. The rough profile leaves them out. tests/mutations/run fails once one
    /// of them no longer violates anything.
    pub const PENDING: &[Fault] = &[Fault::GlobalTimeout, Fault::CallsFail];

    /// The name of the kind.
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
            Fault::AgentRuns => "agent-runs",
            Fault::AgentSignaled => "agent-signaled",
            Fault::AgentCounts => "agent-counts",
            Fault::AfterSteps => "after-steps",
            Fault::ForceSteps => "force-steps",
            Fault::OddDocument => "odd-document",
            Fault::SeveralAgents => "several-agents",
            Fault::AgentOrder => "agent-order",
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
            Fault::LaunchHook => "launch-hook",
            Fault::CapacityBlock => "capacity-block",
            Fault::RootVolume => "root-volume",
            Fault::BusyProtection => "busy-protection",
            Fault::TargetGroups => "target-groups",
            Fault::Standby => "standby",
        }
    }

    /// Finds a kind by its name.
    pub fn find(name: &str) -> Option<Fault> {
        Fault::ROUGH.iter().map(|(fault, _)| *fault).find(|fault| fault.name() == name)
    }
}

/// The faults of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// The rate of each kind, in order; 0 if it is off.
    rates: [f64; Fault::ROUGH.len()],
    /// No fault starts after this time.
    pub until: Option<Time>,
}

impl Faults {
    /// No faults at all.
    pub fn none() -> Self {
        Faults { rates: [0.0; Fault::ROUGH.len()], until: None }
    }

    /// The rough profile: every kind that the machine withstands.
    pub fn rough() -> Self {
        let all = Faults { rates: Fault::ROUGH.map(|(_, rate)| rate), until: None };
        Fault::PENDING.iter().fold(all, |faults, fault| faults.without(*fault))
    }

    /// Adds one kind, at its rate in the rough profile.
    pub fn with(mut self, fault: Fault) -> Self {
        self.rates[fault as usize] = Fault::ROUGH[fault as usize].1;
        self
    }

    /// The kinds that are on.
    pub fn kinds(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ROUGH.iter().map(|(fault, _)| *fault).filter(|fault| self.is_on(*fault))
    }

    /// Turns one kind off.
    pub fn without(mut self, fault: Fault) -> Self {
        self.rates[fault as usize] = 0.0;
        self
    }

    /// Whether a kind is on.
    pub fn is_on(&self, fault: Fault) -> bool {
        self.rates[fault as usize] > 0.0
    }

    /// The rate of a kind; 0 if it is off or its time is over.
    pub fn rate(&self, fault: Fault, now: Time) -> f64 {
        let over = self.until.is_some_and(|until| now >= until);
        if over { 0.0 } else { self.rates[fault as usize] }
    }

    /// Draws whether the fault strikes at one opportunity.
    pub fn strikes(&self, rng: &mut fastrand::Rng, fault: Fault, now: Time) -> bool {
        let rate = self.rate(fault, now);
        rate > 0.0 && rng.f64() < rate
    }

    /// How events reach the queue.
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

    /// The account's token bucket. It is too small for half of the instances at once, and large enough for one after
    /// another.
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
