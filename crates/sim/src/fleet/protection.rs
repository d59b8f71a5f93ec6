//! Busy protection: whether the daemons of a run protect busy instances, and how busy these are.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{AgentMode, AgentView, Rhythm, World, WorldConfig};
use machine::effect::EffectId;
use machine::event::{CallError, CallErrorKind};
use machine::settings::{ProtectionSettings, Settings};
use machine::{Event, Time};

use super::calls::Kind;
use super::host::Host;
use super::perform::CALL_LIMIT;
use super::{Fleet, Plan, network, plan};

/// Draws come from a generator of their own, so that a run without protection is the same as before there was any.
const SALT: u64 = 0x6275_7379;

/// How long agents have work, and how long they have none, in seconds.
const PHASES: std::ops::Range<u64> = 20..900;

/// Draws whether the daemons of a run protect busy instances, and when they do.
pub(super) fn draw(plan: &Plan, world: &mut WorldConfig, settings: &mut Settings) {
    let rng = &mut fastrand::Rng::with_seed(plan.seed ^ SALT);
    if !plan.faults.strikes(rng, Fault::BusyProtection, plan::START) {
        return;
    }
    let mut secs = |range| Duration::from_secs(rng.u64(range));
    world.rhythm = Some(Rhythm { busy: secs(PHASES), idle: secs(PHASES) });
    settings.protection =
        Some(ProtectionSettings { busy_for: secs(3..60), idle_for: secs(10..600), longest: secs(120..3600) });
}

impl Fleet {
    /// An agent is asked how much it has in flight.
    pub(super) fn ask_busy(&mut self, host: usize, id: EffectId, agent: usize) -> (Duration, Event) {
        let result = self.in_flight(host, agent);
        let hangs = self.hosts[host].agent_hangs_until > self.now;
        let result = if hangs { Err("timed out".to_owned()) } else { result };
        let delay = if hangs { CALL_LIMIT } else { self.launch_delay() };
        (delay, Event::BusyAnswered { id, result })
    }

    fn in_flight(&self, host: usize, agent: usize) -> Result<u64, String> {
        let refused = || Err("connection refused".to_owned());
        let host = &self.hosts[host];
        let Some(other) = agent.checked_sub(1) else {
            let agent = self.world.agent(&host.id).filter(|agent| agent.mode == AgentMode::Answers);
            return agent.map_or_else(refused, |agent| Ok(u64::from(agent.in_flight)));
        };
        let other = &host.others[other];
        if other.down_until.is_some_and(|until| until > self.now) {
            return refused();
        }
        // It works as long as its drain would take, and then rests as long.
        let turns = self.now.unix_ms() / (other.work.as_millis() as u64).max(1);
        Ok(u64::from(turns.is_multiple_of(2) && self.now < self.plan.faults_end()))
    }

    /// SetInstanceProtection.
    pub(super) fn protect(
        &mut self,
        host: usize,
        id: EffectId,
        group: &str,
        protect: bool,
    ) -> (Duration, Event) {
        let call = |world: &mut World, now: Time, by: &str| -> Result<(), CallError> {
            let set = world.set_protection(now, group, &[by.to_owned()], protect);
            set.map_err(|error| network::call_error(&error))
        };
        let (delay, result) = self.call(host, Kind::Other, CALL_LIMIT, call);
        if let Some(ledger) = &mut self.ledger {
            let throttled = |error: &CallError| error.kind == CallErrorKind::Throttled;
            ledger.protections.count(result.as_ref().is_err_and(throttled));
        }
        (delay, Event::ProtectionAnswered { id, result })
    }

    /// Faults are over, and so is the work, so that every protection must be lifted before the run ends.
    pub(super) fn rest_protected(&mut self) {
        if self.settings.protection.is_some() {
            self.world.rest_agents(self.now);
        }
    }

    /// Whether an idle instance is still protected at the end of the run. A daemon that is down cannot lift that.
    pub(super) fn check_protection(&mut self, host: usize) {
        let Host { machine, disk_refuses, .. } = &self.hosts[host];
        let works = machine.is_some() && !*disk_refuses;
        let seen = self.world.instance(&self.hosts[host].id).filter(|_| works);
        let idle = |agent: &AgentView| agent.mode == AgentMode::Answers && agent.in_flight == 0;
        if seen.is_some_and(|instance| instance.protected && idle(&instance.agent)) {
            self.judge.complains(host, self.now, "is idle and still protected");
        }
    }
}
