//! The thin shell around the machine: one loop that takes events in, and has effects performed.
//!
//! Stopping is crashing and starting is recovering: there is no shutdown but to wait for the journal, and no start
//! but from it.

pub mod alone;
pub mod client;
pub mod control;
pub(crate) mod identity;
pub mod journal;
#[cfg(debug_assertions)]
mod kill;
pub mod notify;
pub mod perform;
pub(crate) mod settings;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::agent::http::EndpointError;
use crate::aws::clients::KeptClients;
use crate::aws::imds::{Imds, ImdsError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::source;
use crate::telemetry::log;
use control::{Answer, Asked, ControlError, Request};
use journal::JournalFile;
use machine::event::ImdsReading;
use machine::operator::{self, Operator};
use machine::report::Report;
use machine::{Effect, Event, Machine, Output};
use notify::Notify;
use perform::Performer;

/// Readings that wait for the loop.
const READINGS_MAX: usize = 16;

/// During a drain the clock is looked at this often: it may have jumped, as it does when the instance hibernates.
const DRAIN_NAP_MAX: Duration = Duration::from_secs(1);

/// How long leaving may wait for the journal; the service manager is told a second.
const LEAVE_LIMIT: Duration = Duration::from_millis(800);

/// IMDS answers within this time where it answers at all.
const FIRST_MOMENTS: Duration = Duration::from_secs(2);

/// What operators are told until the daemon knows where it is.
const NOT_YET: &str = "the daemon has just started, and IMDS has not yet said which instance this is";

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration names an agent that cannot be one.
    #[error(transparent)]
    Agent(#[from] EndpointError),
    /// The metadata service's endpoint, from the environment, is none.
    #[error(transparent)]
    Imds(#[from] ImdsError),
    /// Another daemon serves this instance.
    #[error(transparent)]
    Control(ControlError),
    /// The operating system refuses something that no daemon can do without.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs the daemon until it is told to stop.
pub async fn run(config: Config) -> Result<(), RunError> {
    let clock = Clock::start(config.simulation.clock);
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    let agents = settings::agents(&config)?;
    let imds_settings = crate::aws::imds::Settings::from_env();
    let mut imds = Imds::new(imds_settings, clock)?;
    let mut requests = control(&config).await?;
    let mut notify = Notify::from_env();
    notify.alive();

    let configured = config.instance.id.clone();
    let identity = tokio::select! {
        identity = identity::find(configured, &mut imds, clock, &mut notify) => identity,
        never = refuse(&mut requests) => match never {},
        () = signals.stop() => {
            notify.stopping();
            return Ok(());
        }
    };
    if let Some(doubt) = &identity.doubt {
        tracing::warn!("IMDS does not name the group, so Auto Scaling is asked for it: {doubt}");
    }
    let journal = JournalFile::open(&config.journal.dir).map_err(|error| {
        let folder = config.journal.dir.display();
        tracing::warn!(
            "cannot keep a journal in {folder}, so a restart in mid-drain would start it anew: {error}; set \
             journal.dir to a folder that drainhook can write to"
        );
        error.to_string()
    });
    let last_run = journal.as_ref().ok().and_then(|file| {
        file.load(&identity.instance_id).unwrap_or_else(|unusable| {
            tracing::warn!("{unusable}");
            None
        })
    });

    let (sender, readings) = mpsc::channel(READINGS_MAX);
    let polls = source::imds::Polls { target: config.imds.poll, ..source::imds::Polls::default() };
    let source = tokio::spawn(source::imds::run(imds, clock, polls, sender));
    let machine = Machine::new(settings::machine(&config, &identity), clock.now());
    let performer = Performer {
        instance_id: identity.instance_id.clone(),
        clock,
        agents,
        queue_url: config.queue.url.clone(),
        journal,
        aws: KeptClients::new(settings::aws(&config)),
    };
    for warning in config::warnings(&config) {
        tracing::warn!("{warning}");
    }
    tracing::info!(instance_id = identity.instance_id, group = identity.group, "watching");
    let mut shell = Shell { clock, machine, performer: Arc::new(performer), results: JoinSet::new(), notify };
    shell.feed(Event::Started { journal: last_run.map(Box::new) });
    shell.run(&mut signals, readings, requests).await;
    source.abort();
    Ok(())
}

/// Answers operators where it takes long to find out which instance this is; those of the first moments wait.
async fn refuse(requests: &mut mpsc::Receiver<Asked>) -> std::convert::Infallible {
    tokio::time::sleep(FIRST_MOMENTS).await;
    while let Some((_, _, reply)) = requests.recv().await {
        // Whoever asked may have gone.
        let _ = reply.send(Answer::Refused(NOT_YET.to_owned()));
    }
    std::future::pending().await
}

/// The control socket's requests. Without a socket the daemon still drains; beside another daemon it must not.
async fn control(config: &Config) -> Result<mpsc::Receiver<Asked>, RunError> {
    let (sender, requests) = mpsc::channel(control::REQUESTS_MAX);
    match control::listen(&config.control.socket).await {
        Ok(listener) => {
            tokio::spawn(control::serve(listener, sender));
        }
        Err(taken @ ControlError::Taken(_)) => return Err(RunError::Control(taken)),
        Err(error @ ControlError::Bind(..)) => tracing::warn!("{error}"),
    }
    Ok(requests)
}

struct Shell {
    clock: Clock,
    machine: Machine,
    performer: Arc<Performer>,
    results: JoinSet<Option<Event>>,
    notify: Notify,
}

impl Shell {
    async fn run(
        &mut self,
        signals: &mut Signals,
        mut readings: mpsc::Receiver<ImdsReading>,
        mut requests: mpsc::Receiver<Asked>,
    ) {
        loop {
            let nap = self.nap();
            tokio::select! {
                () = signals.stop() => return self.leave().await,
                Some(reading) = readings.recv() => {
                    self.feed(Event::Imds(reading));
                }
                Some((by, request, reply)) = requests.recv() => self.answer(by, request, reply),
                Some(result) = self.results.join_next() => {
                    if let Some(event) = finished(result) {
                        self.feed(event);
                    }
                }
                () = tokio::time::sleep(nap) => self.wake(),
            }
            self.notify.alive();
        }
    }

    /// How long nothing needs to be done, in real time.
    fn nap(&self) -> Duration {
        let due = self.machine.next_wake().map(|(at, _)| at.since(self.clock.now()));
        let most = if self.machine.is_draining() { Some(DRAIN_NAP_MAX) } else { None };
        let nap = due.into_iter().chain(most).min().map(|nap| self.clock.real(nap));
        nap.into_iter().chain(self.notify.watchdog()).min().unwrap_or(Duration::MAX)
    }

    fn wake(&mut self) {
        if let Some((at, timer)) = self.machine.next_wake()
            && at <= self.clock.now()
        {
            self.feed(Event::Timer(timer));
        }
    }

    /// Hands an event to the machine, and has what it decides performed.
    fn feed(&mut self, event: Event) -> Option<operator::Answer> {
        let now = self.clock.now();
        // What ends a drain by withdrawing it is still a part of it.
        let drain_before = self.machine.drain_id();
        let Output { effects, reports, answer } = self.machine.handle(now, event);
        let drain_after = self.machine.drain_id();
        if drain_before.is_some() && drain_after.is_none() {
            self.performer.aws.drain_ended();
        }
        let drain = drain_after.or(drain_before);
        for report in &reports {
            tell(report, drain.as_deref());
        }
        for effect in effects {
            tracing::trace!(?effect, "perform");
            self.results.spawn(self.performer.clone().perform(effect));
        }
        self.notify.status(&self.machine.status(), now);
        answer
    }

    fn answer(&mut self, by: Operator, request: Request, reply: oneshot::Sender<Answer>) {
        let answer = match request.command() {
            None => Answer::Status(Box::new(self.machine.status())),
            Some(command) => {
                tracing::info!(?command, %by, "an operator asks");
                match self.feed(Event::Operator { by, command }) {
                    Some(Err(refusal)) => Answer::Refused(refusal.to_string()),
                    Some(Ok(done)) => Answer::Done(done.to_string()),
                    None => Answer::Refused("the machine has not answered: please report this".to_owned()),
                }
            }
        };
        // Whoever asked may have gone.
        let _ = reply.send(answer);
    }

    /// Waits until what has been decided is on disk, and leaves all else as it is: the next run goes on with it.
    async fn leave(&mut self) {
        self.notify.stopping();
        tracing::info!("stopping; a drain under way goes on when the daemon is started again");
        let journal = async {
            while self.machine.is_writing() {
                let Some(result) = self.results.join_next().await else { return };
                if let Some(event @ (Event::JournalWritten { .. } | Event::JournalFailed { .. })) =
                    finished(result)
                {
                    // Only the journal's next write is still performed.
                    for effect in self.machine.handle(self.clock.now(), event).effects {
                        if let Effect::WriteJournal { .. } = effect {
                            self.results.spawn(self.performer.clone().perform(effect));
                        }
                    }
                }
            }
        };
        if tokio::time::timeout(LEAVE_LIMIT, journal).await.is_err() {
            tracing::warn!("left before the journal was on disk: the disk is slow");
        }
    }
}

/// Hands a report to every sink: the log, so far.
fn tell(report: &Report, drain_id: Option<&str>) {
    #[cfg(debug_assertions)]
    let point = kill::Point::before_report(report);
    log::tell(report, drain_id);
    #[cfg(debug_assertions)]
    point.after();
}

/// The event of an effect that has been performed. One that panicked is a defect, and the machine would wait for its
/// result for ever: the daemon starts anew from its journal instead.
fn finished(result: Result<Option<Event>, tokio::task::JoinError>) -> Option<Event> {
    match result {
        Ok(event) => event,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
