//! Plays one scenario: a simulated AWS, the real daemon, a scale-in, and what came out of it.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::machine::Time;
use crate::sim::invariant::Invariants;
use crate::sim::scenario::{Act, Expectation, Scenario};
use crate::sim::story::Story;
use crate::sim::wire::{Addresses, Service};
use crate::sim::world::{Happening, ImdsMode};

use super::SimulateError;
use super::daemon::Daemon;
use super::environment;
use super::timeline::{Style, Timeline};

/// How long, in real time, what is still under way when the instance is gone may take.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How often the live view is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// Plays it; `true` where everything came out as it must.
pub async fn run(
    scenario: &'static Scenario,
    seed: u64,
    speed: u32,
    style: Style,
) -> Result<bool, SimulateError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SimulateError::Serve)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SimulateError::Serve)?;
    let (clock, scale) = super::clock(speed);
    let world = scenario.world(seed);
    let heartbeat_timeout = world.hooks.first().map_or(Duration::ZERO, |hook| hook.heartbeat_timeout);
    let imds_mode = world.imds.mode;
    let service = Service::start(world, clock, Addresses::default()).await.map_err(SimulateError::Serve)?;
    let folder = tempfile::tempdir().map_err(SimulateError::Folder)?;
    let instance =
        service.instances().first().map(|view| view.id.clone()).ok_or(SimulateError::NoEndpoints)?;
    let endpoints = service.endpoints(&instance).ok_or(SimulateError::NoEndpoints)?;

    let mut variables = environment::common(&service, scale);
    variables.extend(environment::instance(&endpoints, folder.path()));
    variables.extend(scenario.settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    if imds_mode != ImdsMode::Answers {
        // Without IMDS there is neither a role nor a name.
        variables.extend(environment::credentials());
        variables.push(("DRAINHOOK_INSTANCE__ID", instance.clone()));
    }
    let mut play = Play {
        scenario,
        changed: service.subscribe(),
        daemon: Daemon::new(variables, folder.path()).map_err(SimulateError::Daemon)?,
        invariants: Invariants::new(heartbeat_timeout),
        story: Story::of(&instance),
        timeline: Timeline::new(style, clock.now(), &instance),
        restart_at: None,
        acted: false,
        service,
        instance,
    };
    // The daemon is not left behind by whoever interrupts.
    let result = tokio::select! {
        result = play.run() => result,
        _ = interrupt.recv() => Err(SimulateError::Interrupted),
        _ = terminate.recv() => Err(SimulateError::Interrupted),
    };
    let stopped = play.daemon.stop().await.map_err(SimulateError::Daemon);
    play.service.stop().await;
    result.and_then(|passed| stopped.map(|()| passed))
}

struct Play {
    scenario: &'static Scenario,
    service: Service,
    instance: String,
    changed: watch::Receiver<u64>,
    daemon: Daemon,
    invariants: Invariants,
    story: Story,
    timeline: Timeline,
    restart_at: Option<Time>,
    acted: bool,
}

impl Play {
    async fn run(&mut self) -> Result<bool, SimulateError> {
        self.timeline.title(self.scenario);
        self.start_daemon().await?;
        let instance = self.instance.clone();
        let (started, ordered) = self.service.world(|world, now| {
            // How the instance came into service is not part of the story.
            world.take_happenings();
            (now, world.terminate_instance(now, &instance, true))
        });
        debug_assert!(ordered.is_ok(), "the instance is in service: {ordered:?}");
        self.timeline.restart(started);
        let limit = self.service.clock().real(self.scenario.limit);
        let Ok(terminated) = tokio::time::timeout(limit, self.until_terminated()).await else {
            return Ok(self.judge(false));
        };
        terminated?;
        // Calls that were under way when the instance went may still arrive.
        let _ = tokio::time::timeout(AFTERMATH, self.until_settled()).await;
        Ok(self.judge(true))
    }

    async fn start_daemon(&mut self) -> Result<(), SimulateError> {
        self.daemon.start().await.map_err(SimulateError::Daemon)?;
        self.story.daemon_starts += 1;
        Ok(())
    }

    async fn until_terminated(&mut self) -> Result<(), SimulateError> {
        while self.story.terminated.is_none() {
            self.step().await?;
        }
        Ok(())
    }

    async fn until_settled(&mut self) -> Result<(), SimulateError> {
        while !self.scenario.expectations.iter().all(|expectation| expectation.holds(&self.story)) {
            self.step().await?;
        }
        Ok(())
    }

    /// Takes in what has happened, and waits for more.
    async fn step(&mut self) -> Result<(), SimulateError> {
        self.changed.borrow_and_update();
        let (happenings, view, now) =
            self.service.world(|world, now| (world.take_happenings(), world.instance(&self.instance), now));
        for (at, happening) in happenings {
            self.invariants.observe(at, &happening);
            self.story.observe(at, &happening);
            self.timeline.tell(at, &happening);
            self.act(at, &happening).await?;
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.timeline.note(now, "daemon started again");
            self.invariants.restarted(now);
            self.start_daemon().await?;
        }
        self.timeline.draw(now, &self.story, view.as_ref());
        tokio::select! {
            _ = self.changed.changed() => Ok(()),
            () = tokio::time::sleep(REDRAW) => Ok(()),
            status = self.daemon.ended() => {
                let status = status.map_err(SimulateError::Daemon)?;
                Err(SimulateError::DaemonEnded { status, log: self.daemon.log() })
            }
        }
    }

    /// Does to the daemon what the scenario says, once.
    async fn act(&mut self, at: Time, happening: &Happening) -> Result<(), SimulateError> {
        match self.scenario.act {
            Some(Act::KillInMidDrain(down))
                if !self.acted && matches!(happening, Happening::WorkFinished { .. }) =>
            {
                self.acted = true;
                self.daemon.kill().await.map_err(SimulateError::Daemon)?;
                self.restart_at = Some(at + down);
                self.timeline.note(at, "daemon killed (SIGKILL)");
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Says what came out; `true` where it is what must.
    fn judge(&mut self, in_time: bool) -> bool {
        let mut verdicts: Vec<(String, bool)> = self
            .scenario
            .expectations
            .iter()
            .map(|expectation: &Expectation| (expectation.to_string(), expectation.holds(&self.story)))
            .collect();
        if !in_time {
            verdicts.push((format!("the instance is gone after {:?}", self.scenario.limit), false));
        }
        verdicts.extend(self.invariants.violations.iter().map(|violation| (violation.clone(), false)));
        let passed = verdicts.iter().all(|(_, holds)| *holds);
        self.timeline.summary(self.scenario, &self.story, &verdicts, passed);
        if !passed {
            eprintln!("the daemon's log:\n{}", self.daemon.log());
        }
        passed
    }
}
