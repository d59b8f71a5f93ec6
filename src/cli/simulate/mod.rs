//! `drainhook simulate`: plays a scale-in on this machine, from start to end.
//!
//! - `play` plays one scenario. Each instance (`player`) has its own process of the real daemon.
//! - `serve` keeps a simulated AWS up, for any client and any daemon.
//! - `daemon` starts daemons. `environment` has the variables that point them at the simulation.
//! - `fleet` runs many instances in virtual time, with faults.
//! - `own_agent` takes the user's own agents instead of the simulated one. `verdict` says why one of them failed.
//! - `conformance` judges an agent that speaks the agent protocol. `junit` writes results for CI.
//! - `timeline` and `words` show what happens. `summary` shows the result.

mod conformance;
mod daemon;
mod environment;
mod fleet;
mod junit;
mod own_agent;
mod play;
mod player;
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
use own_agent::{Named, OwnAgents};
use timeline::Style;

const EXAMPLES: &str = "\
Examples:
  drainhook simulate
  drainhook simulate agent-hangs
  drainhook simulate --agent http://127.0.0.1:8080
  drainhook simulate --agent http://127.0.0.1:8080 --conformance --restart 'systemctl restart worker'
  drainhook simulate --serve
  drainhook simulate --instances 100 --seeds 10";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group(clap::ArgGroup::new("own").args(["agent", "config"])))]
pub struct Args {
    /// The scenario to play. To list all: --list
    #[arg(default_value = SCENARIOS[0].name, conflicts_with = "serve")]
    scenario: String,

    /// List the scenarios
    #[arg(long)]
    list: bool,

    /// How many simulated seconds pass in a real second [default: set by the scenario, 1 with --serve]
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..=1000))]
    speed: Option<u32>,

    /// The seed of everything random in the simulated AWS
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    /// Drain your own agent instead of the simulated one. URL may be the absolute path of a Unix socket. Set its other
    /// settings as variables such as DRAINHOOK_AGENT__DRAIN_TIMEOUT=2m (a drill's default is 5m)
    #[arg(long, value_name = "URL", conflicts_with_all = ["scenario", "speed", "serve"])]
    agent: Option<String>,

    /// Drain the agents that this configuration file has in [agent] or [[agent]], of any kind, and run its [[after]] steps. The
    /// rest of the file is not used
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "speed", "serve", "agent", "instances"])]
    config: Option<PathBuf>,

    /// Judge the agent instead of drilling it: whether it follows the agent protocol, check by check. It must speak that
    /// protocol. drain_timeout is 2m unless you set it
    #[arg(long, requires = "own")]
    conformance: bool,

    /// With --conformance, how the agent is restarted during a drain: a program and its arguments, quoted as for a shell
    #[arg(long, value_name = "COMMAND", requires = "conformance")]
    restart: Option<conformance::Program>,

    /// With --conformance, a program that offers the agent one unit of work, and its arguments. It exits with 0 if the agent
    /// accepted the work
    #[arg(long, value_name = "COMMAND", requires = "conformance")]
    offer: Option<conformance::Program>,

    /// With --agent or --config, also write the result to this file as JUnit XML
    #[arg(long, value_name = "FILE", requires = "own")]
    junit: Option<PathBuf>,

    /// Keep a simulated AWS up for your own daemons and AWS clients, until Ctrl-C
    #[arg(long)]
    serve: bool,

    /// With --serve, deny this IAM action to every caller. Example: sqs:ReceiveMessage. Repeatable
    #[arg(long, value_name = "ACTION", requires = "serve", value_parser = permission)]
    deny: Vec<String>,

    /// With --serve, throttle calls to Auto Scaling beyond this many per second, for all clients together. 0 throttles
    /// every call [default: no limit]
    #[arg(long, value_name = "CALLS", requires = "serve")]
    throttle: Option<u32>,

    /// With --serve, also write the variables for the first instance's daemon to this file, as `export` lines for a shell
    #[arg(long, value_name = "FILE", requires = "serve")]
    env_file: Option<PathBuf>,

    /// Run a fleet of this size in virtual time, and check every run against the invariants. With --serve, the size of
    /// the simulated group
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "agent"],
          value_parser = clap::value_parser!(u32).range(1..=INSTANCES_MAX))]
    instances: Option<u32>,

    /// The faults to inject
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "rough",
        requires = "instances",
        conflicts_with = "serve"
    )]
    faults: fleet::Profile,

    /// A kind of fault to leave out. Repeatable
    #[arg(long, value_name = "FAULT", requires = "instances", conflicts_with = "serve", value_parser = fault)]
    without: Vec<Fault>,

    /// The length of each run, in hours of virtual time
    #[arg(long, value_name = "HOURS", default_value_t = 1.0, requires = "instances", conflicts_with = "serve",
          value_parser = hours)]
    hours: f64,

    /// How many seeds to run, from --seed on. Stops at the first run that violates an invariant
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "instances", conflicts_with = "serve",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// Print each event and each effect with its time
    #[arg(long, requires = "instances", conflicts_with = "serve")]
    trace: bool,
}

impl Args {
    /// The fleet runs that the arguments ask for.
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
    if let Some(named) = args.agent.map(Named::Address).or(args.config.map(Named::File)) {
        if args.conformance {
            let Args { restart, offer, junit, json, .. } = args;
            let options = conformance::Options { restart, offer, junit, json };
            return Box::pin(conformance::run(&named, options)).await;
        }
        let own_agents = match OwnAgents::find(&named).await {
            Ok(own_agents) => own_agents,
            Err(code) => return code,
        };
        let speed = OWN_AGENT.speed;
        return end(play::run(&OWN_AGENT, Some(own_agents), args.seed, speed, style, args.junit).await);
    }
    let Some(scenario) = Scenario::find(&args.scenario) else {
        eprintln!("drainhook: {}", unknown(&args.scenario));
        return ExitCode::from(EX_USAGE);
    };
    let speed = args.speed.unwrap_or(scenario.speed);
    end(play::run(scenario, None, args.seed, speed, style, None).await)
}

/// The error for a scenario that does not exist. Suggests a similar one.
fn unknown(name: &str) -> String {
    let near = SCENARIOS.iter().map(|scenario| (strsim::jaro_winkler(name, scenario.name), scenario.name));
    let near = near.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(similar, _)| *similar > 0.75);
    let meant = near.map_or_else(|| ".".to_owned(), |(_, near)| format!("; did you mean {near}?"));
    format!("no scenario is called {name:?}{meant} To list all: drainhook simulate --list")
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
            put_line(&wrap(&format!("{:<20} {}", scenario.name, scenario.about), 21));
        }
    }
}

/// A clock that starts now and runs `speed` times as fast as real time, and the scale with which daemons share it.
fn clock(speed: u32) -> (Clock, Option<Scale>) {
    let now: Time = Clock::start(None).now();
    let scale = (speed > 1).then_some(Scale { epoch: now, speed });
    (Clock::start(scale), scale)
}

/// Why a simulation cannot continue.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    #[error("cannot serve the simulated AWS: {0}")]
    Serve(std::io::Error),
    #[error("cannot write {}: {error}", file.display())]
    EnvFile { file: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Junit(#[from] junit::WriteError),
    #[error("cannot write the daemon's folder: {0}")]
    Folder(std::io::Error),
    #[error("cannot start the daemon: {0}")]
    Daemon(std::io::Error),
    #[error("the daemon exited unexpectedly ({status}); its log:\n{log}")]
    DaemonEnded { status: std::process::ExitStatus, log: String },
    #[error("{0}")]
    Interrupted(String),
    #[error("the simulated instance has no endpoints; this is a defect in drainhook")]
    NoEndpoints,
}
