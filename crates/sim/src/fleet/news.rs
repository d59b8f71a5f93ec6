//! What follows from what happens in the world, and what operators and Auto Scaling do.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{ActionRef, ActionResult, AgentMode, Happening, HookSpec, Throttle};

use super::calls::{Credentials, Trouble};
use super::poll::POLL;
use super::{Fleet, Step, launch, plan};

impl Fleet {
    /// Processes what happened in the world. `by` is the instance whose call caused it, if one did.
    pub(super) fn digest(&mut self, by: Option<usize>) {
        while let Some((at, happening)) = self.world.next_happening() {
            if self.plan.trace {
                self.trace.push(format!("{at} {} == {happening:?}", happening.instance().unwrap_or("world")));
            }
            if let Some(ledger) = &mut self.ledger {
                ledger.observe(at, &happening);
            }
            if self.on_launch(&happening) {
                continue;
            }
            let about = happening.instance().and_then(|id| self.places.get(id).copied());
            if let (Happening::TerminationRequested { .. }, Some(host)) = (&happening, about) {
                self.catch_up(host);
            }
            if let (Happening::ActionExpired { .. }, Some(host)) = (&happening, about)
                && matches!(self.hosts[host].trouble, Trouble::Fails { .. })
            {
                // All its calls would have failed.
                self.judge.lost(host, at);
            }
            if let Some(host) = about.or(by) {
                self.judge.observe(host, at, &happening);
            }
            if let (Some(by), Some(about)) = (by, about) {
                self.judge.touches(by, about, at, &happening);
            }
            if let (Happening::WaitBegan { hook, .. }, Some(host)) = (&happening, about)
                && hook == plan::HOOK
            {
                self.waits(host);
            }
            match (&happening, about) {
                (Happening::TerminationRequested { .. }, Some(host)) => {
                    self.hosts[host].asked_for = Some(at);
                    self.hosts[host].action = None;
                    self.trouble_calls(host);
                    self.tell_lies(host);
                }
                (Happening::ImdsFlipped { .. }, Some(host)) => {
                    let next = self.hosts[host].next_poll(at, POLL);
                    self.plan_poll(host, next);
                }
                (Happening::AgentDrained { .. } | Happening::AgentExited { .. }, Some(host)) => {
                    if matches!(happening, Happening::AgentExited { .. }) {
                        self.unit_exited(host, at);
                    }
                    self.release_held(host, 0);
                    if matches!(happening, Happening::AgentDrained { .. }) {
                        self.drained(host);
                    }
                }
                (Happening::WaitBegan { hook, .. }, _) if hook == launch::HOOK => {}
                (Happening::WaitBegan { hook, .. }, Some(host)) if hook != plan::HOOK => {
                    let wait = self.delay(5_000, 400_000);
                    self.after(wait, Step::OtherHook { host });
                }
                (Happening::WaitBegan { token, .. }, Some(host))
                    if self.plan.faults.is_on(Fault::FalseMessage) =>
                {
                    self.hosts[host].tokens.push(token.clone());
                }
                (Happening::RootVolumeReplaced { .. }, Some(host)) => self.volume_replaced(host),
                (Happening::InstanceRetained { .. }, Some(host)) => {
                    let wait = self.delay(60_000, 600_000);
                    let released = std::mem::replace(&mut self.hosts[host].released, true);
                    // An instance that is retained a second time is terminated by hand.
                    let step = if released { Step::TakeBack { host } } else { Step::Release { host } };
                    self.at((self.now + wait).min(self.plan.faults_end()), step);
                }
                (Happening::InstancePooled { .. }, Some(_)) => {
                    let wait = self.delay(30_000, 600_000);
                    self.after(wait, Step::ScaleOut);
                }
                (Happening::InstanceTerminated { .. }, Some(host)) => {
                    self.hosts[host].stop();
                    self.hosts[host].gone = true;
                }
                // An instance that enters service has a running agent.
                (Happening::InstanceInService { .. }, Some(host)) if !self.agent_answers(host) => {
                    self.after(Duration::from_secs(1), Step::AgentStart { host });
                }
                (Happening::InstanceInService { instance }, None) => {
                    let host = self.add(instance.clone());
                    self.begin(host);
                }
                _ => {}
            }
        }
    }

    fn agent_answers(&self, host: usize) -> bool {
        let agent = self.world.agent(&self.hosts[host].id);
        agent.is_some_and(|agent| agent.mode == AgentMode::Answers)
    }

    pub(super) fn scale_in(&mut self, host: usize) {
        if self.world.config().warm_pool {
            return self.resize_by(-1);
        }
        let id = self.hosts[host].id.clone();
        // Fails if the instance is gone or already leaving.
        let _ = self.world.terminate_instance(self.now, &id, true);
        self.digest(None);
    }

    pub(super) fn scale_out(&mut self) {
        self.resize_by(1);
    }

    /// Combines all changes of one moment into one call.
    fn resize_by(&mut self, by: i32) {
        if self.resize == 0 {
            self.at(self.now, Step::Resize);
        }
        self.resize += by;
    }

    /// A throttled call is not retried.
    pub(super) fn resize(&mut self) {
        let by = std::mem::take(&mut self.resize);
        if let Some(desired) = self.world.desired_capacity(plan::GROUP) {
            let desired = desired.saturating_add_signed(by);
            let _ = self.world.set_desired_capacity(self.now, plan::GROUP, desired);
        }
        self.digest(None);
    }

    /// An operator releases a retained instance.
    pub(super) fn release(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        if self.world.terminate_instance(self.now, &id, false).is_err() && !self.hosts[host].gone {
            self.after(Duration::from_secs(5), Step::Release { host });
        }
        self.digest(None);
    }

    /// Another program completes the other hook's action, if it still waits.
    pub(super) fn complete_other_hook(&mut self, host: usize) {
        let action = ActionRef {
            hook: "others".to_owned(),
            group: plan::GROUP.to_owned(),
            token: None,
            instance: Some(self.hosts[host].id.clone()),
        };
        let _ = self.world.complete(self.now, &action, ActionResult::Continue);
        self.digest(None);
    }

    /// Creates our hook, or changes its timeout.
    pub(super) fn put_hook(&mut self) {
        let timeout = Duration::from_secs(plan::TIMEOUTS[self.rng.usize(..plan::TIMEOUTS.len())]);
        let hook = HookSpec::terminating(plan::HOOK, timeout);
        self.hook_changed(false);
        if self.world.put_hook(self.now, plan::GROUP, hook).is_err() {
            self.after(Duration::from_secs(5), Step::HookAgain);
        }
        self.digest(None);
    }

    /// The group's hook has changed or is gone.
    pub(super) fn hook_changed(&mut self, is_gone: bool) {
        for host in 0..self.hosts.len() {
            let instance = self.world.instance(&self.hosts[host].id);
            if instance.is_some_and(|instance| instance.group == plan::GROUP) {
                self.judge.hook_changed(host, is_gone);
            }
        }
    }

    /// Ends all faults, including those that last.
    pub(super) fn calm(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            if self.hosts[host].imds_silent_until > now {
                self.hosts[host].imds_silent_until = now;
                self.plan_poll(host, self.hosts[host].next_poll(now, POLL));
            }
            let hangs_until = &mut self.hosts[host].agent_hangs_until;
            *hangs_until = now.min(*hangs_until);
            self.hosts[host].trouble = Trouble::None;
            self.hosts[host].credentials = Credentials::Good;
            self.set_maintenance(host, None);
        }
        self.rest_protected();
        self.world.set_throttle(now, None::<Throttle>);
        self.world.set_delivery(now, self.plan.faults.delivery(now));
    }
}
