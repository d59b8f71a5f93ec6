//! One life of the machine: the loop that takes events in, and has effects performed.
//!
//! A life ends when the daemon is told to stop, when what it was started with proves wrong (the clock, or the instance),
//! and when the machine finds itself broken.
//! The next one begins within the same process, from the journal, as after a crash.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Signals;
use super::control::{Answer, Asked};
use super::notify::Notify;
use super::perform::Performer;
use super::under_way::UnderWay;
use crate::aws::imds::Identity;
use crate::clock::{self, Clock, WallClockSet};
use crate::config::value::Written;
use crate::telemetry::{debug, log};
use machine::event::ImdsReading;
use machine::report::Report;
use machine::{Effect, Event, Machine, Output, operator};

/// During a drain the clock is looked at this often: the system's may be set, and jumps when the instance hibernates.
const DRAIN_NAP_MAX: Duration = Duration::from_secs(1);

/// How long the end of a life may wait for the journal; the service manager is told a second.
const LEAVE_LIMIT: Duration = Duration::from_millis(800);

/// How often within [`RESTARTS_WINDOW`] a life ends for a clock that was set or a defect: one that is there every second
/// must not keep the daemon from draining.
const RESTARTS_MAX: usize = 3;

/// See [`RESTARTS_MAX`].
const RESTARTS_WINDOW: Duration = Duration::from_secs(60);

/// Where events come from.
pub struct Inputs<'a> {
    /// Says when to stop.
    pub signals: &'a mut Signals,
    /// What IMDS says.
    pub readings: mpsc::Receiver<ImdsReading>,
    /// Who IMDS says that this instance is, where it could not be asked before.
    pub identities: mpsc::Receiver<Identity>,
    /// What operators ask.
    pub requests: &'a mut mpsc::Receiver<Asked>,
    /// What an operator has asked in the life before, and was not answered.
    pub asked: Option<Asked>,
}

/// Why a life is over.
pub enum End {
    /// The daemon was told to stop.
    Stopped,
    /// The system's clock was set.
    ClockSet {
        /// What an operator has asked meanwhile.
        asked: Option<Asked>,
    },
    /// The machine has found a broken assertion.
    Defect,
    /// IMDS says that this is another instance, or names the group, which was not known.
    Identified(Identity),
}

/// When lives have ended for a clock that was set, or for a defect.
#[derive(Debug, Default)]
pub struct Restarts {
    /// By the time since boot, oldest first.
    recent: VecDeque<Duration>,
    /// It has been said that there were too many.
    said: bool,
}

impl Restarts {
    /// Whether another life may end for this; counts it.
    fn permit(&mut self, what: &str, consequence: &str) -> bool {
        let now = clock::boottime();
        self.recent.retain(|at| now.saturating_sub(*at) < RESTARTS_WINDOW);
        if self.recent.len() < RESTARTS_MAX {
            self.recent.push_back(now);
            self.said = false;
            return true;
        }
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(
                "{what}, and the daemon has already restarted {RESTARTS_MAX} times within {RESTARTS_WINDOW:?}; {consequence}"
            );
        }
        false
    }
}

/// What a turn of the loop is about.
enum Happened {
    Stop,
    Read(ImdsReading),
    Identified(Identity),
    Asked(Asked),
    Performed(Event),
    Nap,
}

/// The machine and what surrounds it.
pub struct Life<'a> {
    clock: Clock,
    machine: Machine,
    performer: Arc<Performer>,
    under_way: UnderWay,
    notify: &'a mut Notify,
    /// The machine has reported a defect.
    is_broken: bool,
}

impl<'a> Life<'a> {
    /// The life of this machine.
    pub fn new(clock: Clock, machine: Machine, performer: Arc<Performer>, notify: &'a mut Notify) -> Self {
        Life { clock, machine, performer, under_way: UnderWay::default(), notify, is_broken: false }
    }

    /// Goes round and round.
    pub async fn run(&mut self, mut inputs: Inputs<'_>, restarts: &mut Restarts) -> End {
        if let Some(asked) = inputs.asked.take() {
            self.answer(asked);
        }
        loop {
            let happened = self.wait(&mut inputs).await;
            self.notify.alive();
            // Before anything is judged by a clock that is wrong.
            if !matches!(happened, Happened::Stop)
                && let Some(set) = self.clock.wall_clock_set()
                && restarts.permit(
                    "the system's clock was set",
                    "AWS deadlines follow an earlier setting until it is stable",
                )
            {
                say_set(set);
                let (asked, performed) = match happened {
                    Happened::Asked(asked) => (Some(asked), None),
                    Happened::Performed(event) => (None, Some(event)),
                    Happened::Stop | Happened::Read(_) | Happened::Identified(_) | Happened::Nap => {
                        (None, None)
                    }
                };
                self.settle(performed).await;
                return End::ClockSet { asked };
            }
            match happened {
                Happened::Stop => {
                    self.notify.stopping();
                    tracing::info!("stopping; a drain under way continues when the daemon restarts");
                    self.settle(None).await;
                    return End::Stopped;
                }
                Happened::Identified(identity) => {
                    if self.is_news(&identity) {
                        self.settle(None).await;
                        return End::Identified(identity);
                    }
                }
                Happened::Read(reading) => {
                    self.feed(Event::Imds(reading));
                }
                Happened::Asked(asked) => self.answer(asked),
                Happened::Performed(event) => {
                    self.feed(event);
                }
                Happened::Nap => self.wake(),
            }
            if std::mem::take(&mut self.is_broken)
                && restarts.permit("a defect was found", "the daemon keeps running with it")
            {
                tracing::warn!("a defect was found: the daemon starts over from its journal");
                self.settle(None).await;
                return End::Defect;
            }
        }
    }

    /// Whether this life was started without what this says: another instance, or a group that is not known yet.
    fn is_news(&mut self, identity: &Identity) -> bool {
        identity.instance_id != self.performer.instance_id
            || identity.group.is_some() && self.machine.status().group.is_none()
    }

    async fn wait(&mut self, inputs: &mut Inputs<'_>) -> Happened {
        let nap = self.nap();
        tokio::select! {
            () = inputs.signals.stop() => Happened::Stop,
            Some(reading) = inputs.readings.recv() => Happened::Read(reading),
            Some(identity) = inputs.identities.recv() => Happened::Identified(identity),
            Some(asked) = inputs.requests.recv() => Happened::Asked(asked),
            Some(event) = self.under_way.next() => Happened::Performed(event),
            () = tokio::time::sleep(nap) => Happened::Nap,
        }
    }

    /// How long nothing needs to be done, in real time.
    fn nap(&self) -> Duration {
        let due = self.machine.next_wake().map(|(at, _)| at.since(self.clock.now()));
        let due = due.map(|due| self.clock.real(due));
        let most = if self.machine.is_draining() { Some(DRAIN_NAP_MAX) } else { None };
        due.into_iter().chain(most).chain(self.notify.watchdog()).min().unwrap_or(Duration::MAX)
    }

    fn wake(&mut self) {
        if let Some((at, timer)) = self.machine.next_wake()
            && at <= self.clock.now()
        {
            self.feed(Event::Timer(timer));
        }
    }

    /// Hands an event to the machine, and has what it decides performed.
    pub fn feed(&mut self, event: Event) -> Option<operator::Answer> {
        let now = self.clock.now();
        // What ends a drain by withdrawing it is still a part of it.
        let drain_before = self.machine.drain_id();
        let Output { effects, reports, answer } = self.machine.handle(now, event);
        let drain_after = self.machine.drain_id();
        if drain_before.is_some() && drain_after.is_none() {
            self.performer.aws.drain_ended();
        }
        let drain = drain_after.or(drain_before);
        self.is_broken |= reports.iter().any(|report| matches!(report, Report::Defect { .. }));
        #[cfg(debug_assertions)]
        {
            self.is_broken |= super::kill::is_defect_ordered();
        }
        for report in &reports {
            tell(report, drain.as_deref());
        }
        for effect in effects {
            self.perform(effect);
        }
        self.notify.status(&self.machine.status(), now);
        answer
    }

    /// Has an effect performed, or gives one up.
    fn perform(&mut self, effect: Effect) {
        debug::say(format_args!("perform {effect:?}"));
        self.under_way.start(effect, |effect| Arc::clone(&self.performer).perform(effect));
    }

    fn answer(&mut self, (by, request, reply): Asked) {
        let answer = match request.command() {
            None => Answer::Status(Box::new(self.machine.status())),
            Some(command) => match self.feed(Event::Operator { by, command }) {
                Some(Err(refusal)) => Answer::Refused(refusal.to_string()),
                Some(Ok(done)) => Answer::Done(done.to_string()),
                None => Answer::Refused("the machine has not answered: please report this".to_owned()),
            },
        };
        // The client may have gone.
        let _ = reply.send(answer);
    }

    /// Waits until what has been decided is on disk, and leaves all else as it is: the next life goes on with it.
    async fn settle(&mut self, mut performed: Option<Event>) {
        let journal = async {
            loop {
                if let Some(event @ (Event::JournalWritten { .. } | Event::JournalFailed { .. })) = performed
                {
                    let drain = self.machine.drain_id();
                    let Output { effects, reports, .. } = self.machine.handle(self.clock.now(), event);
                    for report in reports.iter().filter(|one| matches!(one, Report::JournalFailed { .. })) {
                        tell(report, drain.as_deref());
                    }
                    // Only the journal's next write is still performed.
                    for effect in effects {
                        if let Effect::WriteJournal { .. } = effect {
                            self.perform(effect);
                        }
                    }
                }
                if !self.machine.is_writing() {
                    return;
                }
                performed = self.under_way.next().await;
                if performed.is_none() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LEAVE_LIMIT, journal).await.is_err() {
            tracing::warn!("stopped before the journal was on disk: the disk is slow");
        }
    }
}

fn say_set(set: WallClockSet) {
    // Whole seconds: the figure is for people.
    let whole = |by: Duration| Written(Duration::from_secs((by + Duration::from_millis(500)).as_secs()));
    let (way, by) = match set {
        WallClockSet::Ahead(by) => ("ahead", whole(by)),
        WallClockSet::Back(by) => ("back", whole(by)),
    };
    tracing::warn!("the system's clock was set {way} by {by}; restarting from the journal with the new time");
}

/// Hands a report to every sink: the log, so far.
fn tell(report: &Report, drain_id: Option<&str>) {
    #[cfg(debug_assertions)]
    let point = super::kill::Point::before_report(report);
    log::tell(report, drain_id);
    #[cfg(debug_assertions)]
    point.after();
}
