//! What a daemon may do with target groups.

use std::time::Duration;

use machine::effect::{Effect, EffectId};
use machine::event::TargetHealth;
use machine::journal::Outcome;
use machine::targets::{TargetRecord, TargetStage};
use machine::{Event, Time};

use super::Reference;
use super::known::{Kept, Phase};

/// The longest time between tries, denied ones included.
const RETRY: Duration = Duration::from_secs(30);

/// What is known about a target.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// The call under way.
    call: Option<EffectId>,
    /// What ELB last said in this life, if no call has changed that since.
    seen: Option<TargetHealth>,
    /// It was deregistered in this life, and the journal may not have that.
    deregistered: bool,
    /// The same for its registration.
    registered: bool,
}

impl Reference {
    /// Records the result of a call.
    pub(super) fn hears_of_target(&mut self, event: &Event) {
        let (Event::TargetDescribed { id, .. }
        | Event::TargetDeregistered { id, .. }
        | Event::TargetRegistered { id, .. }) = event
        else {
            return;
        };
        let Some(target) = self.targets.iter_mut().find(|target| target.call == Some(*id)) else { return };
        target.call = None;
        match event {
            Event::TargetDescribed { result: Ok(health), .. } => target.seen = Some(*health),
            Event::TargetDeregistered { result, .. } => target.deregistered |= result.is_ok(),
            Event::TargetRegistered { result, .. } => target.registered |= result.is_ok(),
            _ => {}
        }
    }

    /// Checks a call. Returns whether it is one about a target.
    pub(super) fn calls_elb(&mut self, effect: &Effect) -> bool {
        let (Effect::DescribeTarget { id, target }
        | Effect::DeregisterTarget { id, target }
        | Effect::RegisterTarget { id, target }) = effect
        else {
            return false;
        };
        let taken_out = self.kept.targets.get(*target).is_some_and(|record| record.taken_out);
        let wrong = match effect {
            Effect::DeregisterTarget { .. } if !taken_out => {
                Some("deregistered a target before the journal said so")
            }
            Effect::RegisterTarget { .. } if !taken_out => {
                Some("registered a target that it had not deregistered")
            }
            Effect::RegisterTarget { .. }
                if self.drain != Phase::None && self.kept.told && !self.kept.ended =>
            {
                Some("registered a target during a drain")
            }
            Effect::DescribeTarget { .. } | Effect::DeregisterTarget { .. }
                if self.drain != Phase::UnderWay =>
            {
                Some("left a target group without a drain")
            }
            _ => None,
        };
        let known = &mut self.targets[*target];
        let twice = known.call.replace(*id).map(|_| "two calls about one target were under way");
        if !matches!(effect, Effect::DescribeTarget { .. }) {
            known.seen = None;
        }
        for wrong in wrong.into_iter().chain(twice) {
            self.complain(wrong);
        }
        true
    }

    /// What the journal says of a target must follow from what ELB said, and from the time.
    pub(super) fn writes_targets(&mut self, now: Time, next: &Kept) {
        if self.targets.is_empty() {
            return;
        }
        let before = self.writes.last().map_or(&self.kept, |(_, kept)| kept).clone();
        self.intends_after_targets(now, &before, next);
        for place in 0..self.targets.len() {
            let Some(record) = next.targets.get(place) else { continue };
            let before_it = before.targets.get(place);
            let was_out = before_it.is_some_and(|before| before.taken_out);
            let was = before_it.map(|before| before.stage).unwrap_or_default();
            let timeout = self.settings.targets[place].timeout;
            let time_over = until(was).is_some_and(|until| until <= now);
            let Target { seen, deregistered, registered, .. } = &mut self.targets[place];
            let (seen, deregistered, registered) =
                (*seen, std::mem::take(deregistered), std::mem::take(registered));
            let is_registered = matches!(seen, Some(TargetHealth::Registered | TargetHealth::Unused));
            let is_unused = matches!(seen, Some(TargetHealth::NotRegistered | TargetHealth::Unused));
            let wrong = if record.taken_out && !was_out && !is_registered {
                Some("meant to deregister a target that is not registered")
            } else if !record.taken_out && was_out && !registered {
                Some("forgot that it had deregistered a target")
            } else if self.clock_set {
                None
            } else if std::mem::discriminant(&was) == std::mem::discriminant(&record.stage) {
                let same_drain = before.started == next.started;
                (same_drain && until(record.stage) > until(was)).then_some("gave a load balancer more time")
            } else {
                match record.stage {
                    TargetStage::Over { unused: true } if !is_unused => Some("called a target unused"),
                    TargetStage::Over { unused: false } if !time_over => Some("gave up a target too early"),
                    TargetStage::Draining { .. } if !deregistered && seen != Some(TargetHealth::Draining) => {
                        Some("called a target draining")
                    }
                    stage if until(stage).is_some_and(|until| until > now + timeout) => {
                        Some("waits for a load balancer for longer than its timeout")
                    }
                    _ => None,
                }
            };
            if let Some(wrong) = wrong {
                self.complain(format!("{wrong}: {seen:?}, {was:?}, {:?}", record.stage));
            }
        }
    }

    /// When the intention to complete is written, no load balancer may still send requests, unless its time or the drain's is
    /// over. The intention stands, even if there is more time later.
    fn intends_after_targets(&mut self, now: Time, before: &Kept, next: &Kept) {
        let over = |at: Time| at <= now || self.clock_set;
        let bound_over = [before.bound, next.bound].into_iter().flatten().any(over);
        let holds = next.targets.iter().any(|record| until(record.stage).is_some_and(|at| !over(at)));
        let outcome =
            next.intention.filter(|_| before.intention.is_none()).map(|intention| intention.outcome);
        if holds && !bound_over && outcome.is_some_and(|outcome| outcome != Outcome::Finished) {
            let stages: Vec<_> = next.targets.iter().map(|record| record.stage).collect();
            self.complain(format!("means to complete while a load balancer may send requests: {stages:?}"));
        }
    }

    /// The instance must leave its target groups when the agents are told, and come back if it stays.
    pub(super) fn must_leave(&mut self, now: Time, wake: Option<Time>) {
        if !self.writes.is_empty() || self.targets.is_empty() {
            return;
        }
        let soon = wake.is_some_and(|wake| wake <= now + RETRY);
        let drains = self.drain == Phase::UnderWay && self.kept.told && !self.kept.ended;
        for place in 0..self.targets.len() {
            let Some(TargetRecord { taken_out, stage, .. }) = self.kept.targets.get(place) else { continue };
            let waits = self.targets[place].call.is_some() || soon;
            let idle = matches!(stage, TargetStage::Idle | TargetStage::Returning);
            let seen = self.targets[place].seen;
            let unused = matches!(seen, Some(TargetHealth::NotRegistered | TargetHealth::Unused));
            let wrong = if drains && idle && self.kept.intention.is_none() {
                Some("did not leave a target group")
            } else if drains && unused && matches!(stage, TargetStage::Draining { .. }) {
                Some("waits for a target that is unused")
            } else if drains && until(*stage).is_some() && !waits {
                Some("did not plan to look at a target")
            } else if self.drain == Phase::None && *taken_out && !waits {
                Some("did not plan to register a target again")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                self.complain(wrong);
            }
        }
    }
}

/// Until when a daemon waits for a target.
fn until(stage: TargetStage) -> Option<Time> {
    match stage {
        TargetStage::Looking { until }
        | TargetStage::Leaving { until }
        | TargetStage::Draining { until, .. } => Some(until),
        TargetStage::Idle | TargetStage::Over { .. } | TargetStage::Returning => None,
    }
}
