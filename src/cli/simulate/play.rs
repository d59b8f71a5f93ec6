//! Plays one scenario: a simulated AWS, a real daemon for every instance, a scale-in, and the verdict.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::serve::{Addresses, Service};
use machine::Time;
use sim::invariant::Invariants;
use sim::scenario::{Deed, Expectation, Scenario};
use sim::story::Story;
use sim::world::{ImdsMode, InstanceView};

use super::SimulateError;
use super::daemon::Said;
use super::junit;
use super::own_agent::OwnAgents;
use super::player::{Player, players};
use super::summary::{self, Verdict};
use super::timeline::{Style, Timeline};
use crate::cli::output::put_line;
use crate::cli::still_draining;
use crate::cli::terminal::wrap;

/// Time limit for calls and log lines that are still under way at the end, in real time.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How often the live line is redrawn, and daemons are checked.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a daemon reads its target state, in simulated time.
const POLL: Duration = Duration::from_secs(1);

/// The delay that a busy machine may add to anything, in real time.
const BUSY: Duration = Duration::from_millis(500);
/// The delay that a busy machine may add to a call on its way, in real time.
const TRANSIT: Duration = Duration::from_millis(250);

/// The invariants of every scenario.
const ALWAYS: &str = "in every scenario: no heartbeat comes too soon, no deadline moves later, and only the instance's own \
                      message is deleted, after its action is over";

/// The most log lines of daemons that wait to be read.
const SAID_MAX: usize = 1024;

/// Plays the scenario, and writes its result to `junit` as JUnit XML. Returns whether it passed.
pub async fn run(
    scenario: &'static Scenario,
    own_agents: Option<OwnAgents>,
    seed: u64,
    speed: u32,
    style: Style,
    junit: Option<PathBuf>,
) -> Result<bool, SimulateError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SimulateError::Serve)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SimulateError::Serve)?;
    let (clock, scale) = super::clock(speed);
    let world = scenario.world(seed);
    let service = Service::start(world, clock, Addresses::default()).await.map_err(SimulateError::Serve)?;
    let folder = tempfile::tempdir().map_err(SimulateError::Folder)?;
    let (said, heard) = mpsc::channel(SAID_MAX);
    let players = players(scenario, own_agents.as_ref(), &service, scale, folder.path(), &said)?;
    let own_count = own_agents.as_ref().map_or(0, |own| own.agents.len());
    let only = if let [player] = players.as_slice() { Some(player.story.instance.as_str()) } else { None };
    let mut play = Play {
        scenario,
        own_agents,
        junit,
        changed: service.subscribe(),
        heard,
        invariants: Invariants::default().with_transit(TRANSIT * speed),
        timeline: Timeline::new(style, clock.now(), only).brief(players.len() > 1).with_own_agents(own_count),
        busy: BUSY * speed,
        speed,
        lag: Duration::ZERO,
        failed_deeds: Vec::new(),
        service,
        players,
    };
    // An interrupt stops the daemons, too.
    let result = tokio::select! {
        result = play.run() => result,
        _ = interrupt.recv() => Err(play.interrupted()),
        _ = terminate.recv() => Err(play.interrupted()),
    };
    let stopped = play.stop_daemons().await;
    play.service.stop().await;
    result.and_then(|passed| stopped.map(|()| passed))
}

struct Play {
    scenario: &'static Scenario,
    own_agents: Option<OwnAgents>,
    junit: Option<PathBuf>,
    service: Service,
    changed: watch::Receiver<u64>,
    heard: mpsc::Receiver<Said>,
    players: Vec<Player>,
    invariants: Invariants,
    timeline: Timeline,
    busy: Duration,
    speed: u32,
    /// How late a daemon was at most, in simulated time.
    lag: Duration,
    failed_deeds: Vec<String>,
}

impl Play {
    async fn run(&mut self) -> Result<bool, SimulateError> {
        self.timeline.title(self.scenario);
        for player in &mut self.players {
            player.daemon.start().map_err(SimulateError::Daemon)?;
        }
        for player in &mut self.players {
            player.daemon.is_up().await.map_err(SimulateError::Daemon)?;
            player.story.daemon_starts += 1;
        }
        // What happened until now is not part of the story.
        for (at, happening) in self.service.world(|world, _| world.take_happenings()) {
            self.invariants.observe(at, &happening);
        }
        let limit = self.service.clock().real(self.scenario.limit);
        let Ok(watched) = tokio::time::timeout(limit, self.until(Self::is_watched)).await else {
            return self.judge(false);
        };
        watched?;
        self.begin();
        let Ok(ended) = tokio::time::timeout(limit, self.until(Self::has_ended)).await else {
            return self.judge(false);
        };
        ended?;
        // Calls and log lines may still be under way.
        let _ = tokio::time::timeout(AFTERMATH, self.until(Self::has_settled)).await;
        self.judge(true)
    }

    /// Does what begins the scenario.
    fn begin(&mut self) {
        let started = self.service.clock().now();
        self.timeline.restart(started);
        let start = self.scenario.start;
        if self.players.len() > 1 || start != Deed::ScaleIn {
            let of = if self.players.len() > 1 {
                format!(" ({} instances)", self.players.len())
            } else {
                String::new()
            };
            self.timeline.note(started, &format!("{start}{of}"));
        }
        let affected = if start.is_for_the_group() { 1 } else { self.players.len() };
        for player in &self.players[..affected] {
            let done = self.service.world(|world, now| start.change(world, now, &player.story.instance));
            self.failed_deeds.extend(done.err().map(|error| format!("{start}: {error}")));
        }
        self.players.iter_mut().for_each(|player| player.story.began = Some(started));
    }

    /// Whether each daemon has read from IMDS that its instance is in service, if IMDS answers.
    fn is_watched(&self) -> bool {
        let unwatched =
            |view: &InstanceView| view.imds_mode == ImdsMode::Answers && view.target_read_at.is_none();
        !self.service.instances().iter().any(unwatched)
    }

    fn has_ended(&self) -> bool {
        self.players.iter().all(|player| player.story.reached(self.scenario.end).is_some())
    }

    fn has_settled(&self) -> bool {
        self.verdicts().iter().all(|(_, holds)| *holds)
    }

    async fn until(&mut self, over: impl Fn(&Self) -> bool) -> Result<(), SimulateError> {
        while !over(self) {
            self.step().await?;
        }
        Ok(())
    }

    /// Processes what happened, performs the acts that are due, and waits for more.
    async fn step(&mut self) -> Result<(), SimulateError> {
        self.changed.borrow_and_update();
        for (at, happening) in self.service.world(|world, _| world.take_happenings()) {
            self.invariants.observe(at, &happening);
            for player in &mut self.players {
                player.story.observe(at, &happening);
            }
            self.timeline.tell(at, &happening);
        }
        for place in 0..self.players.len() {
            let now = self.service.clock().now();
            while let Some(deed) = self.players[place].take_due(now) {
                self.perform(place, deed, now).await?;
            }
        }
        let (views, now) = self.service.world(|world, now| (world.instances(), now));
        self.measure_lag(&views, now);
        let stories: Vec<&Story> = self.players.iter().map(|player| &player.story).collect();
        self.timeline.draw(now, &stories, &views);
        let due = self.players.iter().filter_map(Player::next_due).min();
        let nap = due.map_or(REDRAW, |due| self.service.clock().real(due.since(now)).min(REDRAW));
        tokio::select! {
            _ = self.changed.changed() => {}
            Some(said) = self.heard.recv() => self.hear(said),
            () = tokio::time::sleep(nap) => {}
        }
        for player in &mut self.players {
            if let Some(status) = player.daemon.ended().await.map_err(SimulateError::Daemon)? {
                return Err(SimulateError::DaemonEnded { status, log: player.daemon.log() });
            }
        }
        Ok(())
    }

    /// How late the daemons are: each reads its target state once a second.
    fn measure_lag(&mut self, views: &[InstanceView], now: Time) {
        for player in self.players.iter().filter(|player| player.daemon.is_running()) {
            let view = views.iter().find(|view| view.id == player.story.instance);
            let read_at =
                view.filter(|view| view.imds_mode == ImdsMode::Answers).and_then(|view| view.target_read_at);
            if let Some(read_at) = read_at {
                self.lag = self.lag.max(now.since(read_at).saturating_sub(POLL));
            }
        }
    }

    async fn perform(&mut self, place: usize, deed: Deed, now: Time) -> Result<(), SimulateError> {
        self.timeline.note(now, &deed.to_string());
        let Player { story, daemon, .. } = &mut self.players[place];
        match deed {
            Deed::KillDaemon => {
                self.invariants.stopped();
                daemon.kill().await.map_err(SimulateError::Daemon)?;
            }
            Deed::StopDaemon => {
                self.invariants.stopped();
                daemon.stop().await.map_err(SimulateError::Daemon)?;
            }
            Deed::StartDaemon => {
                self.invariants.restarted(now);
                daemon.start().map_err(SimulateError::Daemon)?;
                daemon.is_up().await.map_err(SimulateError::Daemon)?;
                story.daemon_starts += 1;
            }
            Deed::LoseJournal => daemon.lose_journal().map_err(SimulateError::Daemon)?,
            // All others change the world.
            _ => {
                let done = self.service.world(|world, now| deed.change(world, now, &story.instance));
                self.failed_deeds.extend(done.err().map(|error| format!("{deed}: {error}")));
            }
        }
        Ok(())
    }

    /// Processes a daemon's log line.
    fn hear(&mut self, said: Said) {
        let Said { daemon, line } = said;
        let story = &mut self.players[daemon].story;
        // A real daemon would be gone with its instance, so connection errors after the termination are not shown.
        if story.terminated.is_some() && line.outcome.is_none() {
            return;
        }
        let now = self.service.clock().now();
        if line.is_of_the_agent() {
            // The world knows more about the simulated agent.
            if let Some(own_agents) = &mut self.own_agents {
                self.timeline.hear(now, &story.instance, &line, true);
                if let Some(doubt) = own_agents.report(story, now, &line) {
                    self.timeline.note(now, &doubt);
                }
            }
            return;
        }
        let news = line.outcome.is_some() || !story.warnings.contains(&line.text);
        self.timeline.hear(now, &story.instance, &line, news);
        match line.outcome {
            Some(outcome) => {
                self.invariants.drain_ended(&story.instance);
                story.outcomes.push(outcome);
            }
            None if line.level != "INFO" => story.warnings.push(line.text),
            None => {}
        }
    }

    /// After an interrupt: clears the live line, and says what continues.
    fn interrupted(&self) -> SimulateError {
        self.timeline.end();
        let told = self.players.iter().any(|player| player.story.told.is_some());
        SimulateError::Interrupted(match self.own_agents.as_ref().filter(|_| told) {
            Some(own) => still_draining(&own.agents),
            None => "interrupted".to_owned(),
        })
    }

    /// Each expectation, and whether every instance met it.
    fn verdicts(&self) -> Vec<Verdict> {
        let expectations = self.scenario.expectations.iter();
        let verdict = |expectation: &Expectation| {
            let not = self.players.iter().find(|player| !expectation.holds(&player.story, self.busy));
            match not.filter(|_| self.players.len() > 1) {
                Some(player) => (format!("{expectation} (not {})", player.story.instance), false),
                None => {
                    let instead = not.map(|player| summary::instead(expectation, &player.story));
                    (format!("{expectation}{}", instead.unwrap_or_default()), not.is_none())
                }
            }
        };
        expectations.map(verdict).collect()
    }

    /// Prints the result. Returns whether the scenario passed.
    fn judge(&mut self, in_time: bool) -> Result<bool, SimulateError> {
        let mut verdicts = self.verdicts();
        if !in_time {
            verdicts.push((format!("it ends within {:?}", self.scenario.limit), false));
        }
        if self.invariants.violations.is_empty() {
            verdicts.push((ALWAYS.to_owned(), true));
        }
        let wrong = self.invariants.violations.iter().chain(&self.failed_deeds);
        verdicts.extend(wrong.map(|what| (what.clone(), false)));
        let passed = verdicts.iter().all(|(_, holds)| *holds);
        // A scenario tolerates this delay at its own speed. At a higher speed, the same delay is longer in simulated time.
        if !passed && self.lag > TRANSIT * self.scenario.speed && self.speed > self.scenario.speed {
            summary::too_fast(&self.timeline, self.scenario, self.speed, self.lag);
            return Ok(false);
        }
        let stories: Vec<&Story> = self.players.iter().map(|player| &player.story).collect();
        summary::show(&self.timeline, self.scenario, &stories, &verdicts);
        if let Some(file) = &self.junit {
            junit::write(file, "drill", &junit::of_verdicts(&verdicts))?;
        }
        if !passed && self.timeline.style != Style::Json {
            if let (Some(own_agents), [player]) = (&self.own_agents, self.players.as_slice()) {
                for verdict in own_agents.verdicts(&player.story) {
                    put_line(&wrap(&format!("\n{verdict}"), 0));
                }
            }
            for player in &self.players {
                eprintln!("\nthe log of the daemon of {}:\n{}", player.story.instance, player.daemon.log());
            }
        }
        Ok(passed)
    }

    /// Stops the daemons. Dropping a daemon kills it, in case it cannot be stopped.
    async fn stop_daemons(&mut self) -> Result<(), SimulateError> {
        for player in &mut self.players {
            player.daemon.stop().await.map_err(SimulateError::Daemon)?;
        }
        Ok(())
    }
}
