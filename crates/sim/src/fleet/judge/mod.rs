//! What must hold for each instance and for the whole run, whatever goes wrong. The judge sees what machines hear and
//! decide and what happens in the world. It looks into neither.
//!
//! `each` is what it knows about an instance, `said` what that instance's agents have said, and `calls` how often its daemon
//! retries. `losses` says what work was lost to, and `signals` which processes were told by a signal.

mod calls;
mod each;
mod end;
mod losses;
mod said;
mod signals;
mod volume;

use std::time::Duration;

use crate::world::Happening;
use machine::effect::Effect;
use machine::journal::{Journal, Outcome};
use machine::notice::Source;
use machine::report::{LaunchNews, NoticeChange, Report};
use machine::settings::{AgentSettings, Protocol, Settings};
use machine::{Event, Time};

use super::figures::Figures;
use super::plan::{DRAIN_TIMEOUT, GRACE};
use super::targets;
use each::{Each, is_anothers};
pub(super) use losses::Loss;

/// A hook's global timeout, in heartbeat timeouts (PutLifecycleHook, `HeartbeatTimeout`).
const GLOBAL_TIMEOUTS: u32 = 100;

/// The longest time for the journal to get the end of a step.
const STEP_JOURNALED: Duration = Duration::from_secs(10);

/// The shortest heartbeat timeout.
const TIMEOUT_LEAST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Judge {
    faults_end: Time,
    agents: Vec<AgentSettings>,
    /// Whether the agents are told once per process.
    once: bool,
    /// Whether the calls that follow failures are counted.
    counts_calls: bool,
    /// How long all after steps and target groups may take.
    steps: Duration,
    each: Vec<Each>,
    violations: Vec<String>,
    figures: Figures,
}

impl Judge {
    pub fn new(faults_end: Time, settings: &Settings, counts_calls: bool) -> Self {
        Judge {
            faults_end,
            agents: settings.agents.clone(),
            once: settings.agents.iter().all(|agent| agent.protocol == Protocol::Once),
            counts_calls,
            steps: settings.after.iter().map(|step| step.timeout + STEP_JOURNALED).sum::<Duration>()
                + targets::longest(settings),
            each: Vec::new(),
            violations: Vec::new(),
            figures: Figures::default(),
        }
    }

    pub fn add(&mut self, id: String) {
        self.figures.instances += 1;
        self.each.push(Each { steps: self.steps, ..Each::new(id, &self.agents) });
    }

    /// The daemon starts with this journal on its disk.
    pub fn started(&mut self, host: usize, now: Time, disk: Option<&Journal>) {
        let intention = disk.and_then(|journal| journal.drain.as_ref()?.action.completion.intention());
        self.each[host].outcome = intention.map(|intention| intention.outcome);
        self.each[host].said.forget();
        self.each[host].signals.starts(disk);
        self.each[host].volume.starts(disk);
        self.each[host].calls_made.forget();
        self.each[host].heard_since = None;
        self.each[host].invariants.restarted(now);
        self.goes_on(host, now);
    }

    /// The instance was frozen and runs again.
    pub fn thawed(&mut self, host: usize, now: Time) {
        self.each[host].invariants.thawed(now);
        self.goes_on(host, now);
    }

    fn goes_on(&mut self, host: usize, now: Time) {
        self.each[host].up = now;
        self.each[host].troubles += 1;
    }

    pub fn killed(&mut self, host: usize) {
        self.figures.kills += 1;
        self.stopped(host);
    }

    pub fn stopped(&mut self, host: usize) {
        self.each[host].invariants.stopped();
    }

    pub fn forgot(&mut self, host: usize) {
        let each = &mut self.each[host];
        each.forgetful = true;
        each.informed = false;
        each.signals.forgets();
        each.invariants.forgot();
        self.many_drains(host);
    }

    /// The instance may be drained for more than one reason.
    pub fn many_drains(&mut self, host: usize) {
        let Each { invariants, id, .. } = &mut self.each[host];
        invariants.many_drains(id);
    }

    /// A call fails, now or at `at`.
    pub fn lost(&mut self, host: usize, at: Time) {
        self.each[host].invariants.lost(at);
        self.each[host].troubles += 1;
    }

    /// Something happens that may cost a call, such as a failure that one retry makes up for.
    pub fn costs(&mut self, host: usize) {
        self.each[host].troubles += 1;
    }

    /// A deadline may move later, because its cause is gone or has moved.
    pub fn may_extend(&mut self, host: usize) {
        self.many_drains(host);
        self.each[host].troubles += 1;
    }

    /// The daemon may still believe a message about maintenance when the run ends.
    pub fn believes_message(&mut self, host: usize) {
        self.each[host].forgetful = true;
    }

    /// An agent other than the world's has work until then.
    pub fn busy(&mut self, host: usize, until: Time) {
        let each = &mut self.each[host];
        each.busy_until = each.busy_until.max(until);
    }

    /// A daemon's call has changed something about an instance.
    pub fn touches(&mut self, by: usize, about: usize, at: Time, happening: &Happening) {
        let is_call = matches!(happening, Happening::Heartbeat { .. } | Happening::Completed { .. });
        if is_call && by != about {
            let (by, about) = (&self.each[by].id, &self.each[about].id);
            self.violations.push(format!("{at}: {by} touched the action of {about}: {happening:?}"));
        }
    }

    /// IMDS does not answer. A daemon that is not yet draining for the termination cannot know of it.
    pub fn deaf(&mut self, host: usize, now: Time, is_draining: bool) {
        let each = &mut self.each[host];
        if !(is_draining && each.informed) {
            each.invariants.refused(now);
        }
    }

    /// The clock is ahead by this many milliseconds from now on, or behind if negative.
    pub fn clock_jumped(&mut self, host: usize, ahead_ms: i64) {
        let off = Duration::from_millis(ahead_ms.unsigned_abs());
        let each = &mut self.each[host];
        // After a jump, the time at which the action began to wait may be off by as much.
        each.lost_track = true;
        (each.ahead, each.behind) = if ahead_ms > 0 { (off, Duration::ZERO) } else { (Duration::ZERO, off) };
        self.many_drains(host);
    }

    /// The hook of the instance's group has changed or is gone. For a termination that is under way, the daemon's copy is
    /// out of date.
    pub fn hook_changed(&mut self, host: usize, is_gone: bool) {
        let each = &mut self.each[host];
        if each.leaving.is_some() {
            each.troubles += 1;
            each.hookless |= is_gone;
            self.many_drains(host);
        }
    }

    /// Records an event before a machine handles it.
    pub fn hears(&mut self, host: usize, now: Time, event: &Event) {
        let each = &mut self.each[host];
        each.hears(now, event);
        if let Event::MessagesReceived { result: Ok(messages), .. } = event {
            let of_others = messages.iter().filter(|message| each.is_of_another(message));
            self.figures.misdelivered += of_others.count() as u64;
        }
    }

    /// The reference is compared with what a machine did, which had so many effects.
    pub fn compares(&mut self, effects: usize) {
        self.figures.compared += 1;
        self.figures.effects += effects as u64;
    }

    /// Adds a complaint of the reference or another check.
    pub fn complains(&mut self, host: usize, now: Time, what: &str) {
        self.violations.push(format!("{now}: {}: {what}", self.each[host].id));
    }

    /// Processes a machine's report.
    pub fn reports(&mut self, host: usize, now: Time, report: &Report) {
        let each = &mut self.each[host];
        if each.volume.reports(report) {
            each.invariants.refused(now);
        }
        match report {
            // Until the hook is read, the daemon assumes the shortest timeout.
            Report::DrainStarted { .. } => {
                each.calls_made.forget();
                each.invariants.believes(TIMEOUT_LEAST);
                // A heartbeat of the watch after an earlier drain may be under way.
                if each.over == Time::default() {
                    each.invariants.may_beat_early();
                } else {
                    each.invariants.counts_anew();
                }
            }
            // An action that is found after a drain has ended gets a drain of its own.
            Report::Notice { source: Source::AutoScaling, change: NoticeChange::Appeared, .. } => {
                each.invariants.many_drains(&each.id);
            }
            // The expected action does not exist, so failures before do not count for the next one.
            Report::Notice { reason, change: NoticeChange::Withdrawn, .. } if reason.has_action() => {
                each.calls_made.renews();
            }
            // From here on three tries fit before the action expires.
            Report::WaitBegan { since, .. } => {
                each.calls_made.waits();
                // A Wait that seems to have timed out already sets no deadline.
                let whole = each.open.map(|(_, timeout)| timeout * GLOBAL_TIMEOUTS);
                each.lost_track |= whole.is_some_and(|whole| *since + whole <= now);
            }
            // A launch is not slowed by what failed before it.
            Report::Launch(LaunchNews::Started { .. }) => each.calls_made.forget(),
            Report::GroupChanged { .. } => {
                each.calls_made.moves();
                each.invariants.counts_anew();
            }
            Report::HookChosen { hook } => {
                each.calls_made.waits();
                each.chosen = Some(hook.heartbeat_timeout);
                // The assumed timeout may be shorter than the one that is read later.
                if !hook.read {
                    each.invariants.many_drains(&each.id);
                }
            }
            Report::Completing { outcome, .. } => {
                each.outcome = Some(*outcome);
                each.calls_made.intends();
            }
            Report::Defect { what } => self.violations.push(format!("{now}: {}: defect: {what}", each.id)),
            Report::DrainEnded { outcome, .. } => {
                each.calls_made.ends();
                each.over = now;
                each.lost_track |= *outcome == Outcome::Overtaken && each.doubts && each.open.is_some();
                match outcome {
                    Outcome::Drained => self.figures.drained += 1,
                    Outcome::Deadline => self.figures.deadline += 1,
                    // Fleets have no operators.
                    Outcome::Finished => {}
                    Outcome::Failed => self.figures.failed += 1,
                    Outcome::Overtaken => self.figures.overtaken += 1,
                    Outcome::Withdrawn => self.figures.withdrawn += 1,
                }
            }
            _ => {}
        }
    }

    /// Checks a machine's effect. `disk` is the journal on its disk at that time.
    pub fn decides(&mut self, host: usize, now: Time, effect: &Effect, disk: Option<&Journal>) {
        let each = &mut self.each[host];
        let waits = each.open.map(|(_, timeout)| timeout);
        let timeout = each.invariants.believed().into_iter().chain(waits).chain(each.chosen).min();
        if let Some(what) = each.calls_made.sends(now, effect, timeout).filter(|_| self.counts_calls) {
            self.violations.push(format!("{now}: {} {what}", each.id));
        }
        match effect {
            Effect::Heartbeat { .. } => {
                let drain = disk.and_then(|journal| journal.drain.as_ref());
                if drain.is_some_and(|drain| {
                    drain.phase.ended().is_none() && drain.action.completion.intention().is_some()
                }) {
                    self.violations.push(format!(
                        "{now}: {} sent a heartbeat after its intention to complete was in the journal",
                        each.id
                    ));
                }
            }
            Effect::Complete { .. } => {
                each.completing = each.outcome;
                if each.outcome == Some(Outcome::Drained) && each.said.any_busy() {
                    let what =
                        format!("{now}: {} completed as drained, but an agent had not drained", each.id);
                    self.violations.push(what);
                }
            }
            Effect::ReceiveMessages { .. } => return self.figures.receives += 1,
            Effect::DescribeInstance { .. } | Effect::DescribeHooks { .. } => {}
            Effect::AskAgent { id, agent, .. } => return each.said.asks(now, *id, *agent),
            Effect::WriteJournal { .. }
            | Effect::AskReady { .. }
            | Effect::AskBusy { .. }
            | Effect::Protect { .. }
            | Effect::CancelRequest { .. }
            | Effect::ForceAgent { .. }
            | Effect::RunStep { .. }
            | Effect::StopStep { .. }
            | Effect::SetVisibility { .. }
            | Effect::DescribeTarget { .. }
            | Effect::DeregisterTarget { .. }
            | Effect::RegisterTarget { .. }
            | Effect::DeleteMessage { .. } => return,
        }
        each.calls += 1;
        self.figures.calls += 1;
    }

    /// Records what happened to an instance, or what its call caused.
    pub fn observe(&mut self, host: usize, at: Time, happening: &Happening) {
        self.each[host].ends_a_launch(happening);
        if is_anothers(happening) {
            return;
        }
        let faults_end = self.faults_end;
        let zero_for = self.agents[0].zero_for.unwrap_or_default();
        // A number that is read elsewhere does not show that the agent has exited.
        let unseen = self.agents[0].zero_for.is_some() && self.agents[0].protocol == Protocol::Running;
        let exit_grace = if unseen { DRAIN_TIMEOUT } else { GRACE };
        let each = &mut self.each[host];
        if each.names_another(at, happening) {
            return;
        }
        let expires = matches!(happening, Happening::ActionExpired { .. });
        // Without its journal, a daemon does not know when Wait began.
        let ends = matches!(happening, Happening::ActionExpired { global: true, .. });
        if (ends && (each.forgetful || each.lost_track))
            || expires && (each.knows_nothing() || each.is_behind())
        {
            each.invariants.refused(at);
        }
        if !(matches!(happening, Happening::MessageDeleted { .. }) && each.is_confused()) {
            each.invariants.observe(at, happening);
            self.figures.checked(happening);
        }
        each.ends(happening);
        if each.volume.observes(happening) {
            each.invariants.refused(at);
        }
        match happening {
            Happening::ImdsFlipped { target, .. } if target == "InService" => {
                each.served = at;
                each.hookless = false;
            }
            Happening::TerminationRequested { .. } => each.goes(at),
            Happening::WaitBegan { expires, .. } => {
                each.open = Some((at, expires.since(at)));
                (each.doubts, each.lost_track) = (false, false);
            }
            Happening::AgentDrained { .. } => (each.idle, each.grace) = (Some(at), zero_for),
            // The agent may come back.
            Happening::AgentExited { .. } => (each.idle, each.grace) = (Some(at), exit_grace),
            // It needs another drain and another completion.
            Happening::AgentStarted { .. } => {
                each.idle = None;
                each.troubles += 1;
            }
            Happening::AgentReturned { .. } => {
                each.idle = None;
                let what = || format!("{at}: {} was returned to service before its reboot", each.id);
                self.violations.extend(each.volume.awaits_reboot().then(what));
            }
            Happening::Heartbeat { .. } => self.figures.heartbeats += 1,
            Happening::Throttled => {
                self.figures.throttled += 1;
                each.invariants.refused(at);
                each.troubles += 1;
            }
            Happening::Completed { .. } | Happening::ActionReleased { .. } => {
                self.violations.extend(each.late(at, faults_end));
            }
            Happening::ActionExpired { .. } => {
                self.figures.expired += 1;
                self.violations.extend(each.late(at, faults_end));
            }
            Happening::InstanceTerminated { work_lost, .. } => {
                self.figures.terminated += 1;
                self.figures.work_lost += u64::from(*work_lost);
                self.figures.losses.add(each.loss(), *work_lost);
                self.violations.extend(each.too_many_calls(at));
            }
            Happening::InstancePooled { .. } => self.violations.extend(each.too_many_calls(at)),
            _ => {}
        }
    }

    pub fn verdict(self) -> (Vec<String>, Figures) {
        (self.violations, self.figures)
    }
}
