//! What a daemon may do and must do to complete a launch.

use std::time::Duration;

use machine::effect::{ActionName, CompletionResult, Effect, EffectId};
use machine::event::TargetState;
use machine::journal::Journal;
use machine::launch::{LaunchNews, LaunchStage};
use machine::{Event, Time};

use super::super::launch::HOOK;
use super::Reference;
use super::known::{Call, Phase};

/// The shortest heartbeat timeout of a hook.
const TIMEOUT_LEAST: Duration = Duration::from_secs(30);

/// A heartbeat must be sent within this part of its timeout.
const BEAT: f64 = 0.68;

/// What a launch needs before its first heartbeat, or a failed call before the next one.
const BEAT_SLACK: Duration = Duration::from_secs(30);

/// What is known about launches.
#[derive(Debug, Default)]
pub(super) struct Launches {
    under_way: Option<Launch>,
    /// A launch must begin in this turn.
    begins: Option<Time>,
    /// IMDS last said that the instance is in a warm pool, or on its way into it.
    pooled: bool,
    /// Auto Scaling has named the group in this life, and the instance was not detached since. What a drain knows of it is not the
    /// launch's.
    named: bool,
}

/// A launch under way.
#[derive(Debug)]
struct Launch {
    /// When it began at the earliest, or when the last drain ended.
    since: Time,
    /// The questions that are unanswered.
    asked: Vec<EffectId>,
    /// How many answers in a row said that an agent is ready.
    ready: usize,
    beat: Option<EffectId>,
    /// When the last heartbeat was sent or answered, or when the daemon began to need one.
    beat_at: Time,
    /// The hook's heartbeat timeout, once it was read.
    timeout: Option<Duration>,
    completion: Option<EffectId>,
    result: Option<CompletionResult>,
    /// The descriptions of the instance and of the group's hooks that are unanswered.
    described: Vec<EffectId>,
}

impl Launches {
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }
}

impl Reference {
    /// The daemon starts. A launch begins with each boot, and goes on if an earlier life has not ended it.
    pub(super) fn launches_at_start(&mut self, now: Time, journal: Option<&Journal>) {
        if self.settings.launch.is_none() {
            return;
        }
        let same_boot = |journal: &&Journal| journal.boot_id == self.settings.boot_id;
        let journal = journal.filter(same_boot);
        // By a clock that was set, the launch may have begun at any time.
        let set = journal.is_some_and(|journal| journal.booted_at != self.settings.booted_at);
        self.launches.pooled = journal.is_some_and(|journal| journal.pooled);
        self.launches.begins = match journal.map(|journal| &journal.launch) {
            None | Some(LaunchStage::None) => Some(now),
            Some(LaunchStage::UnderWay { .. }) if set => Some(Time::default()),
            Some(LaunchStage::UnderWay { since, .. }) => Some((*since).min(now)),
            Some(LaunchStage::Over { .. }) => None,
        };
    }

    /// Records an event. Returns whether it is the result of a call for a launch.
    pub(super) fn hears_of_launch(&mut self, now: Time, event: &Event) -> bool {
        if let Event::Imds(machine::event::ImdsReading::TargetState(Some(state))) = event {
            self.launches.named &= *state != TargetState::Detached;
            let pooled = matches!(state, TargetState::Warmed(_));
            let leaves = std::mem::replace(&mut self.launches.pooled, pooled);
            if leaves && *state == TargetState::InService && self.settings.launch.is_some() {
                self.launches.begins = Some(now);
            }
        }
        self.launches.named |= matches!(event, Event::InstanceDescribed { result: Ok(Some(_)), .. });
        let Some(launch) = &mut self.launches.under_way else { return false };
        match event {
            Event::ReadyAnswered { id, result } if launch.asked.contains(id) => {
                launch.asked.retain(|asked| asked != id);
                launch.ready = if result.is_ok() { launch.ready + 1 } else { 0 };
                true
            }
            Event::HooksDescribed { id, result } if launch.described.contains(id) => {
                launch.described.retain(|asked| asked != id);
                let ours = result.iter().flatten().find(|hook| hook.name == HOOK);
                launch.timeout = ours.map(|hook| hook.heartbeat_timeout);
                false
            }
            Event::InstanceDescribed { id, .. } => {
                launch.described.retain(|asked| asked != id);
                false
            }
            Event::HeartbeatAnswered { id, .. } => {
                let ours = launch.beat.take_if(|beat| beat == id).is_some();
                if ours {
                    launch.beat_at = now;
                }
                ours
            }
            Event::CompletionAnswered { id, .. } => launch.completion.take_if(|sent| sent == id).is_some(),
            _ => false,
        }
    }

    /// What the machine says about its launch.
    pub(super) fn hears_launch_news(&mut self, now: Time, news: &LaunchNews) {
        match news {
            LaunchNews::Started { .. } => self.launch_started(now),
            LaunchNews::Ended { .. } => self.launches.under_way = None,
            LaunchNews::NotReady { .. } | LaunchNews::Decided { .. } => {}
        }
    }

    fn launch_started(&mut self, now: Time) {
        let since = self.launches.begins.take();
        if since.is_none() {
            self.complain("began a launch for no reason");
        }
        // Calls of the last launch may still be under way.
        let before = self.launches.under_way.take();
        let (beat, completion) = before.map_or((None, None), |launch| (launch.beat, launch.completion));
        self.launches.under_way = Some(Launch {
            since: since.unwrap_or(now),
            asked: Vec::new(),
            ready: 0,
            beat,
            beat_at: now,
            timeout: None,
            completion,
            result: None,
            described: Vec::new(),
        });
    }

    /// A drain begins or is over. The launch's time does not run during it.
    pub(super) fn launch_paused(&mut self, now: Time) {
        if let Some(launch) = &mut self.launches.under_way {
            (launch.since, launch.beat_at) = (now, now);
            launch.asked.clear();
            (launch.ready, launch.result) = (0, None);
        }
    }

    /// A launch may ask Auto Scaling for its instance and its hooks, without a drain.
    pub(super) fn describes(&mut self, effect: &Effect, id: EffectId) {
        if let Some(launch) = &mut self.launches.under_way {
            launch.described.push(id);
        } else if !self.describes_to_protect(effect, id) {
            self.complain("called Auto Scaling, but no drain was under way");
        }
    }

    /// Checks an effect. Returns whether it is one of a launch.
    pub(super) fn takes_in_launch(&mut self, now: Time, effect: &Effect) -> bool {
        let action = match effect {
            Effect::AskReady { .. } => None,
            Effect::Heartbeat { action, .. } | Effect::Complete { action, .. } if action.hook == HOOK => {
                Some(action)
            }
            _ => return false,
        };
        // A drain that ends before the agents are told is not reported.
        if self.drain != Phase::None && self.kept.told {
            self.complain("went on with a launch during a drain");
        }
        if let Some(ActionName { group, .. }) = action
            && !self.groups.contains(group)
        {
            self.complain(format!("completes a launch in {group}, which the instance is not known to be in"));
        }
        let (agents, clock_set) = (self.settings.agents.len(), self.clock_set);
        let (Some(launch), Some(settings)) = (&mut self.launches.under_way, &self.settings.launch) else {
            self.complain("went on with a launch that is over");
            return true;
        };
        let mut wrong = None;
        match effect {
            Effect::AskReady { id, .. } => {
                launch.asked.push(*id);
                wrong = launch.result.map(|_| "asked an agent after the launch was decided");
                if launch.asked.len() > agents {
                    wrong = Some("asked an agent twice at once");
                }
            }
            Effect::Heartbeat { id, .. } => {
                launch.beat_at = now;
                let twice = launch.beat.replace(*id).is_some();
                wrong = twice.then_some("sent two heartbeats for a launch at once");
            }
            Effect::Complete { id, result, .. } => {
                let early = match result {
                    CompletionResult::Continue => launch.ready < usize::from(settings.times) * agents,
                    CompletionResult::Abandon => now < launch.since + settings.timeout && !clock_set,
                };
                let other = launch.result.replace(*result).is_some_and(|before| before != *result);
                if launch.completion.replace(*id).is_some() {
                    wrong = Some("completed a launch twice at once");
                } else if other {
                    wrong = Some("changed the result of a launch");
                } else if early && !other {
                    wrong = Some("completed a launch too early");
                }
            }
            _ => {}
        }
        if let Some(wrong) = wrong {
            self.complain(wrong);
        }
        true
    }

    /// Whether a heartbeat is under way. One for a launch holds up the drain's.
    pub(super) fn beats_now(&self) -> bool {
        let launch = self.launches.under_way.as_ref().is_some_and(|launch| launch.beat.is_some());
        launch || self.calls.iter().any(|(_, call)| matches!(call, Call::Heartbeat(_)))
    }

    /// The same for a completion.
    pub(super) fn completes_now(&self) -> bool {
        let launch = self.launches.under_way.as_ref().is_some_and(|launch| launch.completion.is_some());
        launch || self.calls.iter().any(|(_, call)| *call == Call::Complete)
    }

    /// A launch must begin when it is due, and must not wait for nothing.
    pub(super) fn must_launch(&mut self, now: Time, wake: Option<Time>) {
        if self.launches.begins.take().is_some() {
            self.complain("did not begin a launch");
        }
        let Some(launch) = self.launches.under_way.as_ref().filter(|_| !self.away) else { return };
        let launch_is_idle = launch.beat.is_none() && launch.described.is_empty();
        let slack = launch.timeout.unwrap_or(TIMEOUT_LEAST).mul_f64(BEAT) + BEAT_SLACK;
        let late = now.since(launch.beat_at) > slack && launch.result.is_none();
        let named = self.launches.named || self.settings.group.is_some();
        let knows = named && self.groups.len() == 1 && self.writes.is_empty() && !self.clock_set;
        let waits = !launch.asked.is_empty()
            || !launch.described.is_empty()
            || launch.completion.is_some()
            || launch.beat.is_some();
        let soon = wake.is_some_and(|wake| wake <= now + super::rules::DENIED_RETRY);
        if self.drain == Phase::None && !waits && self.calls.is_empty() && self.writes.is_empty() && !soon {
            self.complain("a launch waits for nothing");
        }
        if self.drain == Phase::None && late && knows && launch_is_idle {
            self.complain("did not send a heartbeat for a launch");
        }
    }
}
