//! `drainhook simulate`: a scale-in from start to end on this machine.
//!
//! - `play`: one scenario, with the real daemon of every instance as a process of its own.
//! - `serve`: a simulated AWS that stays up, for any client and any daemon.
//! - `daemon`, `environment`: starting daemons, and what points them at the simulation.
//! - `fleet`: many instances in virtual time, with faults.
//! - `own_agent`: the user's own agent in place of the simulated one; `verdict`: why it failed the drill.
//! - `timeline`, `words`: what people and programs see of the run; `summary`: the result.

mod daemon;
mod environment;
mod fleet;
mod own_agent;
mod play;
mod serve;
mod summary;
mod timeline;
mod verdict;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::clock::{Clock, Scale};
use crate::serve::permissions;
use machine::Time;
use sim::fault::Fault;
use sim::scenario::{OWN_AGENT, SCENARIOS, Scenario};
use sim::world::{Throttle, WorldConfig};

use super::output::put_line;
use super::terminal::wrap;
use super::{EX_USAGE, failed, interrupted};
use own_agent::OwnAgent;
use timeline::Style;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to play; --list shows them all
    #[arg(default_value = SCENARIOS[0].name, conflicts_with = "serve")]
    scenario: String,

    /// List the scenarios
    #[arg(long)]
    list: bool,

    /// How many simulated seconds pass in a real one [default: the scenario's own; 1 with --serve]
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..=1000))]
    speed: Option<u32>,

    /// The seed of all that is random in the simulated AWS
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    /// Drain your own agent, at a URL or at the absolute path of a Unix socket, in place of the simulated one. Its other
    /// settings stand in variables such as DRAINHOOK_AGENT__DRAIN_TIMEOUT=2m [default in a drill: 5m]
    #[arg(long, value_name = "URL", conflicts_with_all = ["scenario", "speed", "serve"])]
    agent: Option<String>,

    /// Keep a simulated AWS up until interrupted, for daemons and AWS clients of your own
    #[arg(long)]
    serve: bool,

    /// With --serve, an IAM action that is denied to everyone, such as sqs:ReceiveMessage. Repeatable
    #[arg(long, value_name = "ACTION", requires = "serve", value_parser = permission)]
    deny: Vec<String>,

    /// With --serve, the calls to Auto Scaling per second that pass, for all clients together; more are throttled, and
    /// with 0 all of them [default: no limit]
    #[arg(long, value_name = "CALLS", requires = "serve")]
    throttle: Option<u32>,

    /// With --serve, also write the variables of the first instance's daemon to this file, as `export` lines for a shell
    #[arg(long, value_name = "FILE", requires = "serve")]
    env_file: Option<PathBuf>,

    /// Run a fleet of this size in virtual time, and check every run against the invariants. With --serve: the size of
    /// the served group
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "agent"],
          value_parser = clap::value_parser!(u32).range(1..=INSTANCES_MAX))]
    instances: Option<u32>,

    /// The faults that are injected
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "rough",
        requires = "instances",
        conflicts_with = "serve"
    )]
    faults: fleet::Profile,

    /// A kind of fault that is left out. Repeatable
    #[arg(long, value_name = "FAULT", requires = "instances", conflicts_with = "serve", value_parser = fault)]
    without: Vec<Fault>,

    /// The hours of virtual time
    #[arg(long, value_name = "HOURS", default_value_t = 1.0, requires = "instances", conflicts_with = "serve",
          value_parser = hours)]
    hours: f64,

    /// The number of runs, with one seed each from --seed on; stop at the first that violates an invariant
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "instances", conflicts_with = "serve",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// Show each event and each effect with its time
    #[arg(long, requires = "instances", conflicts_with = "serve")]
    trace: bool,
}

impl Args {
    /// What is run of a fleet.
    fn fleet(&self, instances: u32) -> fleet::Runs {
        fleet::Runs {
            instances,
            seeds: (self.seed, self.seeds),
            hours: self.hours,
            profile: self.faults,
            without: self.without.clone(),
            trace: self.trace,
            json: self.json,
        }
    }
}

/// The most instances that a run or a served group may have.
const INSTANCES_MAX: i64 = 100_000;

fn fault(name: &str) -> Result<Fault, String> {
    Fault::find(name).ok_or_else(|| {
        let names: Vec<_> = Fault::ROUGH.iter().map(|(fault, _)| fault.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

fn permission(name: &str) -> Result<String, String> {
    let known = permissions();
    if known.iter().any(|one| one == name) {
        return Ok(name.to_owned());
    }
    Err(format!("there are {}", known.join(", ")))
}

fn hours(text: &str) -> Result<f64, String> {
    let hours: Option<f64> = text.parse().ok().filter(|hours| (0.01..=1000.0).contains(hours));
    hours.ok_or_else(|| "expected a number from 0.01 to 1000".to_owned())
}

pub async fn run(args: Args) -> ExitCode {
    let style = Style::choose(args.json);
    if args.list {
        list(args.json);
        return ExitCode::SUCCESS;
    }
    if args.serve {
        let world = WorldConfig {
            seed: args.seed,
            instances: args.instances.unwrap_or(1),
            throttle: args.throttle.map(|calls| Throttle { burst: calls, per_second: f64::from(calls) }),
            denied: args.deny,
            ..WorldConfig::default()
        };
        return match serve::run(world, args.speed.unwrap_or(1), args.env_file.as_deref(), style).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    if let Some(instances) = args.instances {
        return fleet::play(args.fleet(instances)).await;
    }
    if let Some(address) = args.agent {
        let own_agent = match OwnAgent::find(address).await {
            Ok(own_agent) => own_agent,
            Err(code) => return code,
        };
        return end(play::run(&OWN_AGENT, Some(own_agent), args.seed, OWN_AGENT.speed, style).await);
    }
    let Some(scenario) = Scenario::find(&args.scenario) else {
        eprintln!("drainhook: {}", unknown(&args.scenario));
        return ExitCode::from(EX_USAGE);
    };
    end(play::run(scenario, None, args.seed, args.speed.unwrap_or(scenario.speed), style).await)
}

/// The scenario does not exist. Names the one that was probably meant.
fn unknown(name: &str) -> String {
    let near = SCENARIOS.iter().map(|scenario| (strsim::jaro_winkler(name, scenario.name), scenario.name));
    let near = near.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(similar, _)| *similar > 0.75);
    let meant = near.map(|(_, near)| format!("did you mean {near}? ")).unwrap_or_default();
    format!("no scenario is called {name:?}; {meant}drainhook simulate --list shows all of them")
}

fn end(played: Result<bool, SimulateError>) -> ExitCode {
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error @ SimulateError::Interrupted(_)) => interrupted(&error),
        Err(error) => failed(&error),
    }
}

fn list(json: bool) {
    for scenario in SCENARIOS {
        if json {
            put_line(&serde_json::json!({ "scenario": scenario.name, "about": scenario.about }).to_string());
        } else {
            put_line(&wrap(&format!("{:<17} {}", scenario.name, scenario.about), 18));
        }
    }
}

/// A clock that starts now and runs so much faster than real time, and the scale by which daemons can share it.
fn clock(speed: u32) -> (Clock, Option<Scale>) {
    let now: Time = Clock::start(None).now();
    let scale = (speed > 1).then_some(Scale { epoch: now, speed });
    (Clock::start(scale), scale)
}

/// Why a simulation cannot go on.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    #[error("cannot serve the simulated AWS: {0}")]
    Serve(std::io::Error),
    #[error("cannot write {}: {error}", file.display())]
    EnvFile { file: PathBuf, error: std::io::Error },
    #[error("cannot make a folder for the daemon's journal and socket: {0}")]
    Folder(std::io::Error),
    #[error("cannot start the daemon: {0}")]
    Daemon(std::io::Error),
    #[error("the daemon exited unexpectedly ({status}); its log:\n{log}")]
    DaemonEnded { status: std::process::ExitStatus, log: String },
    #[error("{0}")]
    Interrupted(String),
    #[error("the simulated instance does not listen; this is a defect")]
    NoEndpoints,
}
