//! One instance of a fleet: its daemon's machine, its disk, and what it waits for.

use std::time::Duration;

use crate::machine::effect::{CompletionResult, EffectId};
use crate::machine::event::TargetState;
use crate::machine::journal::Journal;
use crate::machine::settings::{AgentSettings, DrainAt, OnExit, Settings};
use crate::machine::{Machine, Time};

/// An instance.
#[derive(Debug)]
pub(super) struct Host {
    pub id: String,
    settings: Settings,
    /// `None` while the daemon is down.
    pub machine: Option<Machine>,
    pub disk: Option<Journal>,
    /// Counts the daemon's lives: what an earlier one waits for comes to nothing.
    pub life: u32,
    /// Counts what was planned for IMDS: only the last plan holds.
    pub poll: u32,
    /// The wake-up that is planned.
    pub wake: Option<Time>,
    /// Where in each second it polls.
    pub phase: Duration,
    /// The last target state that the daemon has heard in this life.
    pub heard: Option<TargetState>,
    /// A question about the agent's status that the agent holds.
    pub held: Option<(u32, EffectId)>,
    /// IMDS answers nothing before this.
    pub imds_silent_until: Time,
    /// The agent answers nothing before this.
    pub agent_hangs_until: Time,
    /// The instance is gone.
    pub gone: bool,
}

impl Host {
    pub fn new(id: String, group: String, queue: bool, drain_timeout: Duration, phase: Duration) -> Self {
        let agent = AgentSettings {
            name: "agent".to_owned(),
            drain_timeout,
            unreachable_grace: Duration::from_secs(60),
            on_exit: OnExit::Failed,
            poll: Duration::from_secs(1),
            blocks: false,
        };
        let settings = Settings {
            instance_id: id.clone(),
            boot_id: None,
            group: Some(group),
            agents: vec![agent],
            queue,
            hook: None,
            heartbeat_timeout: None,
            drain_at: DrainAt::Notice,
            on_drained: CompletionResult::Continue,
            on_deadline: CompletionResult::Continue,
            on_failed: CompletionResult::Continue,
            ignore_rebalance: false,
        };
        let never = Time::from_unix_ms(0);
        Host {
            id,
            settings,
            machine: None,
            disk: None,
            life: 0,
            poll: 0,
            wake: None,
            phase,
            heard: None,
            held: None,
            imds_silent_until: never,
            agent_hangs_until: never,
            gone: false,
        }
    }

    /// The daemon starts; its first event is still to come.
    pub fn start(&mut self, now: Time) {
        self.machine = Some(Machine::new(self.settings.clone(), now));
    }

    /// The daemon is killed.
    pub fn stop(&mut self) {
        self.machine = None;
        self.life += 1;
        self.poll += 1;
        self.wake = None;
        self.heard = None;
        self.held = None;
    }

    /// A drain is under way.
    pub fn is_draining(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::is_draining)
    }

    /// Nothing is under way, and a reading that says what the last one said changes nothing.
    pub fn is_idle(&self) -> bool {
        !self.is_draining() && self.heard == Some(TargetState::InService)
    }

    /// The first of its poll times after `now`.
    pub fn next_poll(&self, now: Time, pause: Duration) -> Time {
        let (phase_ms, pause_ms) = (self.phase.as_millis() as u64, pause.as_millis() as u64);
        let since = now.unix_ms().saturating_sub(phase_ms) / 1000 * 1000 + phase_ms;
        Time::from_unix_ms(since + pause_ms.max(1000))
    }
}
