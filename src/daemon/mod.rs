//! The daemon around the machine: signals, sockets and files, and one life of the machine after another.
//!
//! Stopping is crashing and starting is recovering. A shutdown only waits for the journal, and every start begins from the
//! journal.
//!
//! # Layout
//!
//! - `life`: the loop around one machine.
//! - `perform`: performs effects, each with a time limit. `under_way`: gives each effect exactly one result.
//! - [`journal`]: the journal's file and its one writer.
//! - [`control`]: the control socket. [`client`]: its client, for commands.
//! - `identity`: finds out which instance this is. `settings`: turns the configuration into the machine's settings and the
//!   agents.
//! - `preflight`: logs settings that lose work when a drain begins.
//! - `notify`: notifies the service manager. `supervise`: restarts tasks that end.
//! - [`alone`]: a drain without a daemon and without AWS.
//! - `kill`: the points where tests kill the daemon, in debug builds.

pub mod alone;
pub mod client;
pub mod control;
pub(crate) mod identity;
pub mod journal;
#[cfg(debug_assertions)]
mod kill;
mod life;
mod notify;
mod perform;
mod preflight;
pub(crate) mod settings;
mod supervise;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::agent::http::EndpointError;
use crate::aws::clients::KeptClients;
use crate::aws::imds::{Identity, Imds};
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::source::imds::{self, Polls};
use control::{Answer, Asked, ControlError};
use identity::{Known, Source};
use journal::{LoadError, Unusable, Writer};
use life::{End, Inputs, Life, Restarts};
use machine::event::ImdsReading;
use machine::journal::Journal;
use machine::{Event, Machine};
use notify::Notify;
use perform::Performer;
pub use preflight::Findings;
use preflight::Preflight;
use supervise::{Supervised, supervise};

/// How many IMDS readings may wait for the loop.
const READINGS_MAX: usize = 16;

/// How long operators' requests wait at the start: IMDS usually answers within this time.
const FIRST_MOMENTS: Duration = Duration::from_secs(2);

/// The answer to operators until the daemon knows its instance id.
const NOT_YET: &str =
    "the daemon does not know its instance id yet: IMDS has not answered; it keeps retrying";

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An agent's URL is not usable.
    #[error(transparent)]
    Agent(#[from] EndpointError),
    /// Another daemon serves this instance.
    #[error(transparent)]
    Control(ControlError),
    /// The operating system refused to deliver signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs the daemon until it is told to stop. `preflight` looks for what is known to lose work when a drain begins.
pub async fn run(loaded: Loaded, preflight: fn(Arc<Config>) -> Findings) -> Result<(), RunError> {
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    // Configuration errors come before any side effect.
    let agents = settings::agents(&loaded.config)?;
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(loaded.config);
    let clock = Clock::start(config.simulation.clock);
    let mut imds = Imds::new(crate::aws::imds::Settings::from_env(), clock);
    let (mut requests, _control) = control(&config).await?;
    let mut notify = Notify::from_env();
    notify.alive();

    let known = tokio::select! {
        known = identity::find(config.instance.id.as_deref(), &mut imds, clock, &mut notify) => known,
        never = refuse(&mut requests) => match never {},
        () = signals.stop() => {
            notify.stopping();
            return Ok(());
        }
    };
    if let Some(doubt) = &known.identity.doubt {
        tracing::warn!("IMDS did not name the group; asking Auto Scaling instead: {doubt}");
    }
    let preflight = Preflight::new(Arc::clone(&config), preflight);
    live((&config, &preflight), known, &agents, &imds, &mut signals, &mut requests, &mut notify).await;
    Ok(())
}

/// Runs one life of the machine after another until the daemon is told to stop. The signals, the control socket and the
/// journal's writer outlive each life.
async fn live(
    (config, preflight): (&Config, &Preflight),
    mut known: Known,
    agents: &Arc<[Agent]>,
    imds: &Imds,
    signals: &mut Signals,
    requests: &mut mpsc::Receiver<Asked>,
    notify: &mut Notify,
) {
    let steps = settings::steps(config);
    let writer = Writer::new(config.journal.dir.clone());
    let mut restarts = Restarts::default();
    let mut asked = None;
    loop {
        let clock = Clock::start(config.simulation.clock);
        let instance_id = &known.identity.instance_id;
        // The latest journal may not have reached the disk, so it is taken from memory.
        let of_this_instance = |journal: &Journal| journal.instance_id == *instance_id;
        let journal = match writer.latest().filter(of_this_instance) {
            Some(journal) => Some(journal),
            None => load(config, &writer, instance_id).await,
        };
        let performer = Performer {
            instance_id: instance_id.clone(),
            clock,
            agents: Arc::clone(agents),
            steps: Arc::clone(&steps),
            targets: settings::targets(config, instance_id).into(),
            queue_url: config.queue.url.clone(),
            journal: Some(writer.clone()),
            aws: KeptClients::new(settings::aws(config)),
        };
        let (sender, readings) = mpsc::channel(READINGS_MAX);
        let (identity_sender, identities) = mpsc::channel(1);
        let unsure = (known.source != Source::Imds).then_some(identity_sender);
        let _poller = poller(config, imds, clock, sender, unsure);
        let mut settings = settings::machine(config, &known.identity);
        settings.booted_at = Some(clock.booted_at());
        let machine = Machine::new(settings, clock.now());
        say_start(config, &known.identity);
        let mut life = Life::new(clock, machine, Arc::new(performer), notify, preflight);
        life.feed(Event::Started { journal: journal.map(Box::new) });
        let inputs = Inputs { signals, readings, identities, requests: &mut *requests, asked };
        match life.run(inputs, &mut restarts).await {
            End::Stopped => return,
            End::ClockSet { asked: open } => asked = open,
            End::Defect => asked = None,
            End::Identified(identity) => {
                if identity.instance_id != *instance_id {
                    identity::contradicted(known.source, instance_id, &identity.instance_id);
                }
                known = Known { identity, source: Source::Imds };
                asked = None;
            }
        }
    }
}

/// Logs what this life watches.
fn say_start(config: &Config, identity: &Identity) {
    let version = env!("CARGO_PKG_VERSION");
    let Identity { instance_id, group, .. } = identity;
    let group = config.lifecycle.group.as_ref().or(group.as_ref());
    let of_group = group.map_or_else(String::new, |group| format!(" of group {group}"));
    let names: Vec<&str> = config.agents.iter().map(|agent| agent.name.as_str()).collect();
    let agents = if names.len() == 1 { "agent" } else { "agents" };
    let queue = config.queue.url.as_deref();
    tracing::info!(
        version,
        instance_id,
        group,
        queue,
        "drainhook {version} is watching {instance_id}{of_group}; {agents} {}; {}",
        names.join(", "),
        queue.map_or_else(|| "no queue".to_owned(), |url| format!("queue {url}"))
    );
}

/// The journal that the last run on this instance left, if it is usable.
async fn load(config: &Config, writer: &Writer, instance_id: &str) -> Option<Journal> {
    let folder = config.journal.dir.display();
    match writer.load(instance_id).await {
        Ok(journal) => return journal,
        Err(LoadError::Unusable(Unusable::Refused(refused))) => tracing::error!(
            "no journal is kept in {folder}, so a restart during a drain would start the drain over: {refused}"
        ),
        Err(LoadError::Unusable(unusable)) => tracing::warn!("{unusable}"),
        Err(error @ (LoadError::Slow | LoadError::NoThread(_) | LoadError::Panicked)) => {
            tracing::error!("{folder}: {error}; a drain under way starts over");
        }
    }
    None
}

/// Polls IMDS forever.
fn poller(
    config: &Config,
    imds: &Imds,
    clock: Clock,
    readings: mpsc::Sender<ImdsReading>,
    identities: Option<mpsc::Sender<Identity>>,
) -> Supervised {
    let polls = Polls { target: config.imds.poll, ..Polls::default() };
    let imds = imds.clone();
    supervise("imds", move || imds::poll(imds.clone(), clock, polls, readings.clone(), identities.clone()))
}

/// Refuses operators' requests while the instance is not identified. Requests from the first two seconds wait.
async fn refuse(requests: &mut mpsc::Receiver<Asked>) -> std::convert::Infallible {
    tokio::time::sleep(FIRST_MOMENTS).await;
    while let Some((_, _, reply)) = requests.recv().await {
        // The client may be gone.
        let _ = reply.send(Answer::Refused(NOT_YET.to_owned()));
    }
    std::future::pending().await
}

/// The control socket's requests, and the task that accepts them. Without a socket the daemon still drains, but it must not
/// run beside another daemon.
async fn control(config: &Config) -> Result<(mpsc::Receiver<Asked>, Option<Supervised>), RunError> {
    let (sender, requests) = mpsc::channel(control::REQUESTS_MAX);
    let server = match control::listen(&config.control.socket).await {
        Ok(listener) => Some(supervise("control", move || control::serve(listener.clone(), sender.clone()))),
        Err(taken @ ControlError::Taken(_)) => return Err(RunError::Control(taken)),
        Err(error @ ControlError::Bind(..)) => {
            tracing::warn!("{error}");
            None
        }
    };
    Ok((requests, server))
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
