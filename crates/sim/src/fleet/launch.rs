//! Launches: the launching hook of a run, and when the agents of an instance are ready.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{ActionResult, AgentMode, Happening, HookSpec, Transition, WorldConfig};
use machine::effect::{Effect, EffectId};
use machine::settings::{LaunchSettings, Settings};
use machine::{Event, Time};

use super::host::Host;
use super::{Fleet, Plan, Step, plan};

/// The launching hook that the daemons complete.
pub(super) const HOOK: &str = "warm-up";

/// Draws of launches come from a generator of their own, so that a run without a launching hook is the same as before there were
/// any.
const SALT: u64 = 0x6c61_756e_6368;

/// The longest time until an agent is ready, in milliseconds.
const WARM_UP_MAX_MS: u64 = 150_000;

/// The share of instances that are never ready.
const NEVER: f64 = 0.1;

/// For this long, an agent that has become ready is not ready in some answers.
const FLICKER: Duration = Duration::from_secs(15);

/// The share of these answers.
const FLICKERS: f64 = 0.3;

/// Once faults are over, agents are ready within this time, in milliseconds.
const CALM_WARM_UP_MAX_MS: u64 = 10_000;

/// The most instances that are launched during the faults.
const LAUNCHES_MAX: u32 = 3;

/// The generator of a run.
pub(super) fn generator(plan: &Plan) -> fastrand::Rng {
    fastrand::Rng::with_seed(plan.seed ^ SALT)
}

/// Draws whether a run has a launching hook, and how its daemons complete it.
pub(super) fn draw(plan: &Plan, world: &mut WorldConfig, settings: &mut Settings) {
    let rng = &mut generator(plan);
    if !plan.faults.strikes(rng, Fault::LaunchHook, plan::START) {
        return;
    }
    let timeout = Duration::from_secs(plan::TIMEOUTS[rng.usize(..3)]);
    world.hooks.push(HookSpec {
        transition: Transition::Launching,
        default_result: ActionResult::Abandon,
        ..HookSpec::terminating(HOOK, timeout)
    });
    settings.launch = Some(LaunchSettings {
        hook: HOOK.to_owned(),
        times: rng.u8(1..4),
        timeout: Duration::from_secs(rng.u64(60..400)),
    });
}

impl Fleet {
    /// Plans launches during the faults.
    pub(super) fn plan_launches(&mut self) {
        if self.settings.launch.is_none() {
            return;
        }
        for _ in 0..self.launch_rng.u32(1..=LAUNCHES_MAX) {
            let at = plan::START + self.plan.span.mul_f64(self.launch_rng.f64());
            self.at(at, Step::ScaleOut);
        }
    }

    /// The agents of an instance start. Draws when they are ready.
    pub(super) fn warm_up(&mut self, host: usize) {
        if self.settings.launch.is_none() {
            return;
        }
        let calm = self.now >= self.plan.faults_end();
        let never = self.launch_rng.f64() < NEVER && !calm;
        let most = if calm { CALM_WARM_UP_MAX_MS } else { WARM_UP_MAX_MS };
        let warm_up = Duration::from_millis(self.launch_rng.u64(0..most));
        self.hosts[host].ready_at = (!never).then(|| self.now + warm_up);
    }

    /// An agent is asked whether it is ready.
    pub(super) fn ask_ready(&mut self, host: usize, id: EffectId) -> (Duration, Event) {
        let agent = self.world.agent(&self.hosts[host].id);
        let answers = agent.is_some_and(|agent| agent.mode == AgentMode::Answers);
        let Host { ready_at, agent_hangs_until, .. } = &self.hosts[host];
        let since = ready_at.filter(|at| *at <= self.now && *agent_hangs_until <= self.now && answers);
        let mut flickers = |since: Time| self.now.since(since) < FLICKER && self.launch_rng.f64() < FLICKERS;
        let ready = since.is_some_and(|since| !flickers(since));
        let result = if ready { Ok(()) } else { Err("503".to_owned()) };
        (self.launch_delay(), Event::ReadyAnswered { id, result })
    }

    /// How long it takes to ask an agent, or to hear from it.
    pub(super) fn launch_delay(&mut self) -> Duration {
        Duration::from_millis(self.launch_rng.u64(1..5))
    }

    /// Whether an effect is a call for a launch, which is not part of any drain.
    pub(super) fn launches(&mut self, host: usize, effect: &Effect) -> bool {
        match effect {
            Effect::Heartbeat { id, action, .. } | Effect::Complete { id, action, .. }
                if action.hook == HOOK =>
            {
                self.hosts[host].launch_calls.push(*id);
                true
            }
            Effect::AskReady { .. } => true,
            _ => false,
        }
    }

    /// Whether an event is the result of a call for a launch.
    pub(super) fn is_of_launch(&mut self, host: usize, event: &Event) -> bool {
        let (Event::HeartbeatAnswered { id, .. } | Event::CompletionAnswered { id, .. }) = event else {
            return false;
        };
        let calls = &mut self.hosts[host].launch_calls;
        let before = calls.len();
        calls.retain(|call| call != id);
        calls.len() < before
    }

    /// An instance is launched. With a launching hook, its daemon runs before it is in service.
    pub(super) fn on_launch(&mut self, happening: &Happening) -> bool {
        let Happening::InstanceLaunched { instance, .. } = happening else { return false };
        let launches = self.settings.launch.is_some() && self.now > plan::START;
        if launches {
            let host = self.add(instance.clone());
            self.begin(host);
        }
        launches
    }

    /// An agent that drains or has drained is not ready, so no launch may be completed with CONTINUE.
    pub(super) fn check_launch(&mut self, host: usize, now: Time) {
        let agent = self.world.agent(&self.hosts[host].id);
        let serves = agent.is_none_or(|agent| agent.state == crate::world::AgentState::Serving);
        if !serves && self.hosts[host].may_complain() {
            self.judge.complains(host, now, "completed a launch while its agent did not serve");
        }
    }
}
