//! A fleet in virtual time: the machine of every instance runs against one world. A schedule of steps replaces sockets,
//! threads and sleep. Pure: the same plan gives the same run.
//!
//! # Layout
//!
//! - `plan`: what a run starts with, drawn from the seed; `host`: an instance's machine and what it waits for
//! - `network`: the calls of a daemon, as the world answers them
//! - `poll`: what IMDS tells a daemon; `news`: what follows from what happens in the world
//! - `step`: what a run plans; `perform`: effects; `calls`: faults of calls to AWS
//! - `agents`: what agents answer, and how; `units`: agents that are told by a signal; `counts`: agents that say only how much is
//!   in flight; `steps`: after steps; `force`: force steps
//! - `launch`: launches, and when agents are ready; `volume`: new root volumes; `block`: Capacity Blocks, and daemons that listen
//!   all the time; `protection`: busy agents, and which daemons protect them; `targets`: target groups
//! - `strike`: faults that strike at random times; `strangers`: messages that no daemon may act on; `ec2`: maintenance and
//!   reclaimed capacity; `moves`: changes of the group and of the clock
//! - `deadline`: which deadlines are in force; `figures`: the counts of a run
//! - `judge`: what must hold for each instance and for the run; `reference`: what one daemon may and must do, at every step
//! - `cost`: what a large fleet costs; `warned`: how soon it hears of warnings; `picks`: which instances a scale-in picks, and what
//!   busy protection costs
//! - `run`: a whole run; `shrink`: finds a smaller run that still violates something

mod agents;
mod block;
mod calls;
pub mod cost;
mod counts;
mod deadline;
mod ec2;
mod figures;
mod force;
mod host;
mod judge;
mod launch;
mod moves;
mod network;
mod news;
mod perform;
pub mod picks;
mod plan;
mod poll;
mod protection;
mod reference;
mod run;
mod shrink;
mod step;
mod steps;
mod strangers;
mod strike;
mod targets;
mod units;
mod volume;
pub mod warned;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use machine::effect::CompletionResult;
use machine::journal::Journal;
use machine::report::Report;
use machine::settings::Settings;
use machine::{Effect, Event, Time};

use super::fault::Fault;
use super::schedule::{Due, Schedule};
use super::world::{ByInstance, World};
use host::Host;
use judge::Judge;
use poll::POLL;
use step::Step;

pub use figures::{Figures, Losses};
pub use plan::Plan;
use plan::Setup;
pub use run::{Outcome, run, run_telling};
pub use shrink::shrink;

/// A run in progress.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    /// The settings of every daemon, except for the instance's id.
    settings: Settings,
    manner: agents::Manner,
    world: World,
    /// The name of the termination queue. Empty without a queue.
    queue: Arc<str>,
    rng: fastrand::Rng,
    launch_rng: fastrand::Rng,
    targets: targets::Draws,
    now: Time,
    steps: Schedule<Step>,
    hosts: Vec<Host>,
    /// How much the next SetDesiredCapacity changes the group.
    resize: i32,
    places: ByInstance<usize>,
    /// When EC2 begins to terminate the instances of the Capacity Block, once it has warned of that.
    block: Option<Time>,
    /// Receives that the queue holds, and until when.
    receives: VecDeque<perform::Receive>,
    bodies: network::Bodies,
    judge: Judge,
    /// Counts for a run that measures cost.
    ledger: Option<cost::Ledger>,
    /// What happened, one line each, if the plan asks for it.
    pub trace: Vec<String>,
}

impl Fleet {
    fn new(mut plan: Plan) -> Self {
        plan.faults.until = Some(plan.faults_end());
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let setup = plan.setup(&mut rng);
        Fleet::in_world(plan, setup, rng)
    }

    fn in_world(plan: Plan, setup: Setup, rng: fastrand::Rng) -> Self {
        let Setup { mut world, settings, manner } = setup;
        // Only the trace needs these.
        world.tells_hand_outs = plan.trace;
        let counts_calls = plan.faults.is_on(Fault::HeartbeatDoubted) || plan.faults.is_on(Fault::CallsFail);
        let mut fleet = Fleet {
            judge: Judge::new(plan.faults_end(), &settings, counts_calls),
            queue: world.queue.as_deref().unwrap_or_default().into(),
            world: World::new(world, plan::START),
            settings,
            manner,
            rng,
            launch_rng: launch::generator(&plan),
            targets: targets::Draws::new(&plan),
            now: plan::START,
            steps: Schedule::default(),
            hosts: Vec::new(),
            resize: 0,
            places: ByInstance::default(),
            block: None,
            receives: VecDeque::new(),
            bodies: network::Bodies::default(),
            ledger: None,
            trace: Vec::new(),
            plan,
        };
        for view in fleet.world.instances() {
            let host = fleet.add(view.id);
            fleet.begin(host);
        }
        if fleet.plan.faults.rate(Fault::GroupChange, fleet.now) > 0.0 {
            fleet.make_second_group();
        }
        for fault in [Fault::HookEdited, Fault::HookDeleted, Fault::StrayMessage] {
            fleet.plan_strike(0, fault);
        }
        fleet.plan_launches();
        fleet.plan_block();
        fleet.plan_replacements();
        fleet.at(fleet.plan.faults_end(), Step::Calm);
        fleet.digest(None);
        fleet
    }

    /// Adds a new instance.
    fn add(&mut self, id: String) -> usize {
        let host = self.hosts.len();
        let phase = Duration::from_millis(self.rng.u64(0..1000));
        self.places.insert(&id, host);
        self.judge.add(id.clone());
        let mut settings = Settings { instance_id: id, ..self.settings.clone() };
        let is_target = self.name_targets(&mut settings);
        let (mut added, others) = (Host::new(settings, phase), 1..self.settings.agents.len());
        added.is_target = is_target;
        added.others = others.map(|_| agents::Other::new(self.delay(0, 400_000))).collect();
        added.units = self.settings.agents.iter().map(|_| units::Unit::default()).collect();
        self.hosts.push(added);
        self.warm_up(host);
        host
    }

    fn begin(&mut self, host: usize) {
        self.at(self.now + self.hosts[host].phase, Step::Start { host });
        let leaves_at = self.plan.leaves_at(&mut self.rng);
        // An instance that is launched after the faults stays, because its drain would outlast the run.
        if let Some(at) = leaves_at.filter(|_| self.now < self.plan.faults_end()) {
            self.at(at, Step::ScaleIn { host });
        }
        let planned = strike::BY_INSTANCE.map(|fault| self.plan_strike(host, fault).then_some(fault));
        self.buy(host, planned.contains(&Some(Fault::SpotInterruption)));
    }

    /// Plans a step. Returns what is needed to cancel it.
    fn at(&mut self, time: Time, step: Step) -> Due {
        self.steps.plan(time.max(self.now), step)
    }

    fn after(&mut self, delay: Duration, step: Step) {
        self.at(self.now + delay, step);
    }

    /// Draws a delay between two bounds in milliseconds.
    fn delay(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(self.rng.u64(from_ms..=to_ms))
    }

    /// When the next thing happens.
    fn next(&self) -> Option<Time> {
        let waiting = self.receives.front().map(|receive| receive.until);
        self.steps.next_at().into_iter().chain(self.world.next_wake()).chain(waiting).min()
    }

    /// Lets the next thing happen. Returns `false` when the run is over.
    fn step(&mut self) -> bool {
        let own = self.steps.next_at();
        let Some(next) = self.next().filter(|next| *next <= self.plan.end()) else {
            self.end();
            return false;
        };
        self.now = self.now.max(next);
        self.world.advance(self.now);
        self.digest(None);
        if own == Some(next)
            && let Some((_, step)) = self.steps.pop_due(next)
        {
            self.perform_step(step);
        }
        self.serve_receives();
        true
    }

    fn end(&mut self) {
        for host in 0..self.hosts.len() {
            let end = self.now.max(self.plan.end());
            if self.hosts[host].believes_until.is_some_and(|until| until > end) {
                self.judge.believes_message(host);
            } else {
                self.check_others(host);
                self.check_protection(host);
                self.check_units(host);
                self.check_targets(host);
            }
        }
        self.judge.end(&self.world, self.now.max(self.plan.end()));
    }

    /// Processes a machine's report.
    fn reported(&mut self, host: usize, now: Time, report: &Report) {
        self.judge.reports(host, now, report);
        self.check_report(host, now, report);
    }

    fn start(&mut self, host: usize) {
        if self.hosts[host].gone || self.hosts[host].machine.is_some() {
            return;
        }
        self.start_with_faults(host);
        self.resume(host, self.hosts[host].disk.clone());
    }

    /// Starts a life of the daemon with this journal.
    fn resume(&mut self, host: usize, journal: Option<Box<Journal>>) {
        let now = self.now;
        self.hosts[host].start(now);
        self.goes_on(host, journal.as_deref());
        self.judge.started(host, now, journal.as_deref());
        self.note_untold(host, journal.as_deref());
        self.feed(host, Event::Started { journal });
        self.plan_poll(host, self.now);
    }

    fn wake(&mut self, host: usize) {
        // This comes before the plan is cleared, so that the machine does not plan this wake-up again for a poll of the
        // past.
        self.catch_up(host);
        self.hosts[host].wake = None;
        let due = self.hosts[host].machine.as_ref().and_then(|machine| machine.next_wake());
        match due {
            Some((at, timer)) if self.hosts[host].when(at) <= self.now => {
                self.feed(host, Event::Timer(timer))
            }
            Some(_) | None => self.plan_wake(host),
        }
    }

    /// Hands an event to a machine, after the last poll that was skipped.
    fn feed(&mut self, host: usize, event: Event) {
        self.catch_up(host);
        // The daemon asks IMDS about interruptions every few seconds, even where the fleet skips polls.
        let tells =
            matches!(event, Event::MessagesReceived { .. }) && self.plan.faults.is_on(Fault::FalseMessage);
        if tells && self.now >= self.hosts[host].imds_silent_until {
            self.tell_news(host);
        }
        self.hand_in(host, self.now, event);
        if tells {
            let next = self.hosts[host].next_poll(self.now, POLL);
            self.plan_poll(host, next);
        }
        self.poll_again(host);
    }

    /// Hands an event to a machine and plans its effects.
    fn hand_in(&mut self, host: usize, now: Time, event: Event) {
        self.tell_of(now, host, || format!("<- {event:?}"));
        if !self.is_of_launch(host, &event) {
            self.judge.hears(host, now, &event);
        }
        self.tell_hook(host, &event);
        if let Some(ledger) = &mut self.ledger {
            ledger.hears(&self.hosts[host].id, &event);
        }
        let clock = self.hosts[host].clock(now);
        let Host { machine: Some(machine), reference, life, steady, .. } = &mut self.hosts[host] else {
            return;
        };
        reference.hears(clock, &event);
        *steady &= matches!(event, Event::Imds(_));
        let before = machine.next_wake();
        let output = machine.handle(clock, event);
        *steady &= output.effects.is_empty() && output.reports.is_empty() && before == machine.next_wake();
        let wake = machine.next_wake().map(|(at, _)| at);
        self.judge.compares(output.effects.len());
        for complaint in reference.decides(clock, &output, wake) {
            self.judge.complains(host, now, &complaint);
        }
        let life = *life;
        for report in &output.reports {
            self.tell(host, || format!("-> {report:?}"));
            self.reported(host, now, report);
        }
        for effect in output.effects {
            self.tell(host, || format!("-> {effect:?}"));
            if self.launches(host, &effect) {
                if matches!(effect, Effect::Complete { result: CompletionResult::Continue, .. }) {
                    self.check_launch(host, now);
                }
            } else {
                self.judge.decides(host, now, &effect, self.hosts[host].written());
            }
            if let Effect::CancelRequest { id } | Effect::StopStep { id } = effect {
                self.cancel(host, id);
                continue;
            }
            let delay = self.way_to(&effect);
            self.after(delay, Step::Request { host, life, effect: Box::new(effect) });
        }
        self.plan_wake(host);
    }

    /// Plans the wake-up that the machine wants, unless it is planned already.
    fn plan_wake(&mut self, host: usize) {
        let wanted = self.hosts[host].machine.as_ref().and_then(|machine| machine.next_wake());
        let Some((at, _)) = wanted else { return };
        let at = self.hosts[host].when(at).max(self.now);
        match self.hosts[host].wake {
            Some((planned, _)) if planned <= at => return,
            Some(later) => self.steps.take_back(&later),
            None => {}
        }
        let life = self.hosts[host].life;
        self.hosts[host].wake = Some(self.at(at, Step::Wake { host, life }));
    }

    /// Plans the next poll. The machine hears it even if it says the same as the last one.
    fn plan_poll(&mut self, host: usize, at: Time) {
        self.catch_up(host);
        self.hosts[host].steady = false;
        self.poll_at(host, at);
    }

    fn poll_at(&mut self, host: usize, at: Time) {
        self.hosts[host].poll += 1;
        self.hosts[host].rests = None;
        let poll = self.hosts[host].poll;
        self.at(at, Step::Poll { host, poll });
    }

    fn tell(&mut self, host: usize, what: impl FnOnce() -> String) {
        self.tell_of(self.now, host, what);
    }

    fn tell_of(&mut self, at: Time, host: usize, what: impl FnOnce() -> String) {
        if self.plan.trace {
            self.trace.push(format!("{at} {} {}", self.hosts[host].id, what()));
        }
    }
}

#[cfg(test)]
mod tests;
