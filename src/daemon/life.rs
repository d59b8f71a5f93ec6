//! One life of the machine: the loop that feeds it events and starts its effects.
//!
//! A life ends when the daemon is told to stop, when the clock or the instance's identity turns out to be wrong, or when
//! the machine reports a defect. Unless the daemon stops, the next life begins in the same process, from the journal, as
//! after a crash.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Signals;
use super::control::{Answer, Asked};
use super::notify::Notify;
use super::perform::Performer;
use super::preflight::Preflight;
use super::under_way::UnderWay;
use crate::aws::imds::Identity;
use crate::clock::{self, Clock, WallClockSet};
use crate::config::duration::Written;
use crate::telemetry::{debug, log};
use machine::event::ImdsReading;
use machine::report::Report;
use machine::{Effect, Event, Machine, Output, operator};

/// How often the clock is checked during a drain: it may be set, and time passes while the instance hibernates.
const DRAIN_NAP_MAX: Duration = Duration::from_secs(1);

/// How long the end of a life may wait for the journal. Less than the unit's `TimeoutStopSec`.
const LEAVE_LIMIT: Duration = Duration::from_millis(800);

/// How many lives may end within [`RESTARTS_WINDOW`] because the clock was set or a defect was found. If that happened
/// every second, endless restarts would keep the daemon from draining.
const RESTARTS_MAX: usize = 3;

/// See [`RESTARTS_MAX`].
const RESTARTS_WINDOW: Duration = Duration::from_secs(60);

/// The sources of events.
pub struct Inputs<'a> {
    /// The signals that stop the daemon.
    pub signals: &'a mut Signals,
    /// Readings from IMDS.
    pub readings: mpsc::Receiver<ImdsReading>,
    /// The instance's identity from IMDS, if IMDS did not answer at the start.
    pub identities: mpsc::Receiver<Identity>,
    /// Operators' requests.
    pub requests: &'a mut mpsc::Receiver<Asked>,
    /// A request that the previous life took and did not answer.
    pub asked: Option<Asked>,
}

/// Why a life ended.
pub enum End {
    /// The daemon was told to stop.
    Stopped,
    /// The system's clock was set.
    ClockSet {
        /// A request that was taken and not answered.
        asked: Option<Asked>,
    },
    /// The machine reported a defect.
    Defect,
    /// IMDS named a different instance, or named the group, which was unknown.
    Identified(Identity),
}

/// When lives ended because the clock was set, or because of a defect.
#[derive(Debug, Default)]
pub struct Restarts {
    /// As times since boot, oldest first.
    recent: VecDeque<Duration>,
    /// Whether the log already says that there were too many restarts.
    said: bool,
}

impl Restarts {
    /// Whether another life may end for such a reason. If so, counts it.
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
                "{what}, but the daemon has already restarted {RESTARTS_MAX} times within {RESTARTS_WINDOW:?}; {consequence}"
            );
        }
        false
    }
}

/// What woke the loop.
enum Happened {
    Stop,
    Read(ImdsReading),
    Identified(Identity),
    Asked(Asked),
    Performed(Event),
    Nap,
}

/// The machine, and what performs its effects.
pub struct Life<'a> {
    clock: Clock,
    machine: Machine,
    performer: Arc<Performer>,
    under_way: UnderWay,
    notify: &'a mut Notify,
    preflight: &'a Preflight,
    /// The machine has reported a defect.
    is_broken: bool,
}

impl<'a> Life<'a> {
    /// A life of this machine.
    pub fn new(
        clock: Clock,
        machine: Machine,
        performer: Arc<Performer>,
        notify: &'a mut Notify,
        preflight: &'a Preflight,
    ) -> Self {
        let under_way = UnderWay::default();
        Life { clock, machine, performer, under_way, notify, preflight, is_broken: false }
    }

    /// Runs the loop until the life ends.
    pub async fn run(&mut self, mut inputs: Inputs<'_>, restarts: &mut Restarts) -> End {
        if let Some(asked) = inputs.asked.take() {
            self.answer(asked);
        }
        loop {
            let happened = self.wait(&mut inputs).await;
            self.notify.alive();
            // Checked before the machine judges anything by a wrong clock.
            if !matches!(happened, Happened::Stop)
                && let Some(set) = self.clock.wall_clock_set()
                && restarts.permit(
                    "the system's clock was set",
                    "until it is stable, AWS deadlines are judged by an earlier setting",
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
                tracing::warn!("a defect was found; restarting from the journal");
                self.settle(None).await;
                return End::Defect;
            }
        }
    }

    /// Whether this names another instance, or a group that this life does not know.
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

    /// How long the loop may sleep, in real time.
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

    /// Feeds an event to the machine, logs its reports and starts its effects.
    pub fn feed(&mut self, event: Event) -> Option<operator::Answer> {
        let now = self.clock.now();
        // An event that ends a drain still belongs to that drain.
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
        if reports.iter().any(|report| matches!(report, Report::DrainStarted { .. })) {
            self.preflight.start(drain);
        }
        self.notify.status(&self.machine.status(), now);
        answer
    }

    /// Starts an effect, or cancels one.
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
                None => Answer::Refused("the machine did not answer; please report this bug".to_owned()),
            },
        };
        // The client may be gone.
        let _ = reply.send(answer);
    }

    /// Waits until the journal of the last decision is on disk. Leaves everything else as it is: the next life continues from it.
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
                    // Only further writes of the journal are still performed.
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
            tracing::warn!(
                "stopped before the journal was on disk: the disk took longer than {LEAVE_LIMIT:?}"
            );
        }
    }
}

fn say_set(set: WallClockSet) {
    // People do not need fractions of a second.
    let whole = |by: Duration| Written(Duration::from_secs((by + Duration::from_millis(500)).as_secs()));
    let (way, by) = match set {
        WallClockSet::Ahead(by) => ("ahead", whole(by)),
        WallClockSet::Back(by) => ("back", whole(by)),
    };
    tracing::warn!("the system's clock was set {way} by {by}; restarting from the journal with the new time");
}

/// Logs a report.
fn tell(report: &Report, drain_id: Option<&str>) {
    #[cfg(debug_assertions)]
    let point = super::kill::Point::before_report(report);
    log::tell(report, drain_id);
    #[cfg(debug_assertions)]
    point.after();
}
