//! A fleet in virtual time: every instance's machine against one world, with a heap of what is due in place of sockets,
//! threads and sleep. Pure: the same plan gives the same run.
//!
//! # Layout
//!
//! - `plan`: what a run starts with, all of it drawn from the seed
//! - `host`: an instance's machine and what it waits for
//! - `network`: a daemon's calls, as the world answers them
//! - `perform`: effects, and what goes wrong with them; `strike`: what goes wrong by itself
//! - `judge`: what must hold, of each instance and of the run
//! - `cost`: what a scale-in of a large fleet costs
//! - `shrink`: from a run that violates something to a smaller one

pub mod cost;
mod host;
mod judge;
mod network;
mod perform;
mod plan;
mod shrink;
mod strike;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::answer;
use crate::machine::effect::{Effect, EffectId};
use crate::machine::event::ImdsReading;
use crate::machine::{Event, Time};

use super::fault::Fault;
use super::world::{ByInstance, Happening, World, WorldConfig};
use host::Host;
use judge::Judge;

pub use judge::Figures;
pub use plan::Plan;
pub use shrink::shrink;

/// While nothing is under way, a poll of IMDS that would hear what the last one heard is not made, but for one so
/// often: after a minute without any the machine would take IMDS for silent.
const IDLE_POLL: Duration = Duration::from_secs(50);

/// While something is under way.
const POLL: Duration = Duration::from_secs(1);

/// A run under way.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    world: World,
    rng: fastrand::Rng,
    now: Time,
    steps: BTreeMap<(Time, u64), Step>,
    next_step: u64,
    hosts: Vec<Host>,
    places: ByInstance<usize>,
    /// Receives that the queue holds, and until when.
    receives: std::collections::VecDeque<Receive>,
    bodies: network::Bodies,
    judge: Judge,
    /// Counts, where a run is for its cost.
    ledger: Option<cost::Ledger>,
    /// What happened, a line each, where the plan asks for it.
    pub trace: Vec<String>,
}

/// Something that is due.
#[derive(Debug)]
enum Step {
    /// The daemon of an instance starts.
    Start { host: usize },
    /// It asks IMDS.
    Poll { host: usize, poll: u32 },
    /// It wants to be woken.
    Wake { host: usize, life: u32 },
    /// What it asked for reaches whoever performs it.
    Request { host: usize, life: u32, effect: Box<Effect> },
    /// The result reaches it.
    Answer { host: usize, life: u32, event: Box<Event> },
    /// The agent has held a status request for as long as it may.
    StatusOver { host: usize, life: u32, id: EffectId },
    /// Auto Scaling takes an instance away.
    ScaleIn { host: usize },
    /// A fault that comes by itself.
    Strike { host: usize, fault: Fault },
    /// An agent that has crashed is there again.
    AgentStart { host: usize },
}

/// A ReceiveMessage that waits.
#[derive(Debug)]
struct Receive {
    host: usize,
    life: u32,
    id: EffectId,
    most: usize,
    until: Time,
}

/// What came out of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was violated, in words, with times.
    pub violations: Vec<String>,
    /// Counts.
    pub figures: Figures,
    /// What happened, a line each, where the plan asked for it.
    pub trace: Vec<String>,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    let mut fleet = Fleet::new(plan.clone());
    while fleet.step() {}
    let Fleet { judge, trace, .. } = fleet;
    let (violations, figures) = judge.verdict();
    Outcome { violations, figures, trace }
}

impl Fleet {
    fn new(mut plan: Plan) -> Self {
        plan.faults.until = Some(plan.faults_end());
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let config = plan.world(&mut rng);
        Fleet::in_world(plan, config, rng)
    }

    fn in_world(plan: Plan, config: WorldConfig, rng: fastrand::Rng) -> Self {
        let world = World::new(config, plan::START);
        let judge = Judge::new(world.config().hooks[0].heartbeat_timeout, plan.faults_end());
        let mut fleet = Fleet {
            world,
            rng,
            now: plan::START,
            steps: BTreeMap::new(),
            next_step: 0,
            hosts: Vec::new(),
            places: ByInstance::default(),
            receives: std::collections::VecDeque::new(),
            bodies: network::Bodies::default(),
            judge,
            ledger: None,
            trace: Vec::new(),
            plan,
        };
        for view in fleet.world.instances() {
            let host = fleet.add(view.id);
            fleet.begin(host);
        }
        fleet.digest(None);
        fleet
    }

    /// A new instance: its daemon starts, and it may be taken away in this run.
    fn add(&mut self, id: String) -> usize {
        let host = self.hosts.len();
        let config = self.world.config();
        let (group, queue) = (config.group.clone(), config.queue.is_some());
        let phase = Duration::from_millis(self.rng.u64(0..1000));
        self.places.insert(&id, host);
        self.judge.add(id.clone());
        self.hosts.push(Host::new(id, group, queue, plan::DRAIN_TIMEOUT, phase));
        host
    }

    fn begin(&mut self, host: usize) {
        self.at(self.now + self.hosts[host].phase, Step::Start { host });
        if let Some(at) = self.plan.leaves_at(&mut self.rng) {
            self.at(at, Step::ScaleIn { host });
        }
        for fault in [Fault::ImdsSilent, Fault::AgentCrash, Fault::AgentHang] {
            self.plan_strike(host, fault);
        }
    }

    fn at(&mut self, time: Time, step: Step) {
        self.next_step += 1;
        self.steps.insert((time.max(self.now), self.next_step), step);
    }

    fn after(&mut self, delay: Duration, step: Step) {
        self.at(self.now + delay, step);
    }

    /// A delay between these, in milliseconds.
    fn delay(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(self.rng.u64(from_ms..=to_ms))
    }

    fn next_step_at(&self) -> Option<Time> {
        self.steps.first_key_value().map(|((at, _), _)| *at)
    }

    /// When the next thing happens.
    fn next(&self) -> Option<Time> {
        let waiting = self.receives.front().map(|receive| receive.until);
        self.next_step_at().into_iter().chain(self.world.next_wake()).chain(waiting).min()
    }

    /// Lets the next thing happen; `false` when the run is over.
    fn step(&mut self) -> bool {
        let own = self.next_step_at();
        let Some(next) = self.next().filter(|next| *next <= self.plan.end()) else {
            self.judge.end(&self.world, self.now.max(self.plan.end()));
            return false;
        };
        self.now = self.now.max(next);
        self.world.advance(self.now);
        self.digest(None);
        if own == Some(next)
            && let Some((_, step)) = self.steps.pop_first()
        {
            self.perform_step(step);
        }
        self.serve_receives();
        true
    }

    fn perform_step(&mut self, step: Step) {
        match step {
            Step::Start { host } => self.start(host),
            Step::Poll { host, poll } if self.hosts[host].poll == poll => self.poll(host),
            Step::Wake { host, life } if self.hosts[host].life == life => self.wake(host),
            Step::Request { host, life, effect } if self.hosts[host].life == life => {
                self.request(host, *effect);
            }
            Step::Answer { host, life, event } if self.hosts[host].life == life => self.feed(host, *event),
            Step::StatusOver { host, life, id } => self.status_over(host, life, id),
            Step::ScaleIn { host } => self.scale_in(host),
            Step::Strike { host, fault } => self.strike(host, fault),
            Step::AgentStart { host } => {
                let id = self.hosts[host].id.clone();
                if !self.hosts[host].gone {
                    self.world.start_agent(self.now, &id);
                    self.digest(None);
                }
            }
            // An earlier life's.
            Step::Poll { .. } | Step::Wake { .. } | Step::Request { .. } | Step::Answer { .. } => {}
        }
    }

    fn start(&mut self, host: usize) {
        if self.hosts[host].gone || self.hosts[host].machine.is_some() {
            return;
        }
        if self.hosts[host].disk.is_some() && self.strikes(Fault::JournalLost) {
            self.tell(host, || "the journal is lost".to_owned());
            self.hosts[host].disk = None;
            self.judge.forgot(host);
        }
        let now = self.now;
        self.hosts[host].start(now);
        self.judge.started(host, now);
        let journal = self.hosts[host].disk.clone().map(Box::new);
        self.feed(host, Event::Started { journal });
        self.plan_poll(host, self.now);
    }

    fn wake(&mut self, host: usize) {
        self.hosts[host].wake = None;
        let due = self.hosts[host].machine.as_ref().and_then(|machine| machine.next_wake());
        match due {
            Some((at, timer)) if at <= self.now => self.feed(host, Event::Timer(timer)),
            Some(_) | None => self.plan_wake(host),
        }
    }

    /// Hands an event to a machine, and sends its effects on their way.
    fn feed(&mut self, host: usize, event: Event) {
        self.tell(host, || format!("<- {event:?}"));
        self.judge.hears(host, &event);
        if let Some(ledger) = &mut self.ledger {
            ledger.hears(&self.hosts[host].id, &event);
        }
        let Some(machine) = &mut self.hosts[host].machine else { return };
        let effects = machine.handle(self.now, event);
        let life = self.hosts[host].life;
        for effect in effects {
            self.tell(host, || format!("-> {effect:?}"));
            self.judge.decides(host, self.now, &effect, self.hosts[host].disk.as_ref());
            if !matches!(effect, Effect::Report(_)) {
                let delay = self.way_to(&effect);
                self.after(delay, Step::Request { host, life, effect: Box::new(effect) });
            }
        }
        self.plan_wake(host);
    }

    /// Has the machine woken when it wants to be, where that is not planned already.
    fn plan_wake(&mut self, host: usize) {
        let wanted = self.hosts[host].machine.as_ref().and_then(|machine| machine.next_wake());
        let Some((at, _)) = wanted else { return };
        let at = at.max(self.now);
        if self.hosts[host].wake.is_none_or(|planned| planned > at) {
            let life = self.hosts[host].life;
            self.hosts[host].wake = Some(at);
            self.at(at, Step::Wake { host, life });
        }
    }

    fn plan_poll(&mut self, host: usize, at: Time) {
        self.hosts[host].poll += 1;
        let poll = self.hosts[host].poll;
        self.at(at, Step::Poll { host, poll });
    }

    fn poll(&mut self, host: usize) {
        let reading = self.reading(host);
        if let ImdsReading::TargetState(heard) = &reading {
            self.hosts[host].heard.clone_from(heard);
        } else {
            self.hosts[host].heard = None;
            if !self.hosts[host].is_draining() {
                self.judge.deaf(host, self.now);
            }
        }
        self.feed(host, Event::Imds(reading));
        // What was stale is asked for again.
        let pause = match self.world.target_state(&self.hosts[host].id) {
            // There is nothing to hear.
            None => IDLE_POLL,
            Some("InService") if self.hosts[host].is_idle() => IDLE_POLL,
            Some(_) => POLL,
        };
        let next = self.hosts[host].next_poll(self.now, pause);
        self.plan_poll(host, next);
    }

    fn reading(&mut self, host: usize) -> ImdsReading {
        if self.now < self.hosts[host].imds_silent_until {
            return ImdsReading::Silent { why: "no answer".to_owned() };
        }
        if self.strikes(Fault::ImdsStale)
            && let Some(heard) = self.hosts[host].heard.clone()
        {
            return ImdsReading::TargetState(Some(heard));
        }
        let target = self.world.target_state(&self.hosts[host].id);
        ImdsReading::TargetState(target.and_then(|target| answer::target_state(target).ok()))
    }

    fn scale_in(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        // It may have gone already, or be on its way.
        if self.world.terminate_instance(self.now, &id, true).is_ok() {
            self.judge.leaving(host, self.now);
        }
        self.digest(None);
    }

    /// Takes in what has happened in the world; it was `by`'s call where there was one.
    fn digest(&mut self, by: Option<usize>) {
        for (at, happening) in self.world.take_happenings() {
            if self.plan.trace {
                self.trace.push(format!("{at} world {happening:?}"));
            }
            if let Some(ledger) = &mut self.ledger {
                ledger.observe(at, &happening);
            }
            let about = happening.instance().and_then(|id| self.places.get(id).copied());
            if let Some(host) = about.or(by) {
                self.judge.observe(host, at, &happening);
            }
            match (&happening, about) {
                (Happening::ImdsFlipped { .. }, Some(host)) => {
                    let next = self.hosts[host].next_poll(at, POLL);
                    self.plan_poll(host, next);
                }
                (Happening::AgentDrained { .. } | Happening::AgentExited { .. }, Some(host)) => {
                    self.release_status(host);
                }
                (Happening::InstanceTerminated { .. }, Some(host)) => {
                    self.hosts[host].stop();
                    self.hosts[host].gone = true;
                }
                (Happening::InstanceInService { instance }, None) => {
                    let host = self.add(instance.clone());
                    self.begin(host);
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, host: usize, what: impl FnOnce() -> String) {
        if self.plan.trace {
            self.trace.push(format!("{} {} {}", self.now, self.hosts[host].id, what()));
        }
    }
}

#[cfg(test)]
mod tests;
