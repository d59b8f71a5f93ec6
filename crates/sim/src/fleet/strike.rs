//! Faults that strike at random times.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::LifeCycle;
use machine::event::SpotNotice;
use machine::message::SpotAction;

use super::agents::Request;
use super::host::Host;
use super::judge::Loss;
use super::{Fleet, Step, plan};

/// The faults that strike each instance.
pub(super) const BY_INSTANCE: [Fault; 12] = [
    Fault::ImdsSilent,
    Fault::AgentCrash,
    Fault::AgentHang,
    Fault::Reboot,
    Fault::Hibernation,
    Fault::SpotInterruption,
    Fault::DiskRefuses,
    Fault::GroupChange,
    Fault::Standby,
    Fault::CredentialsRotated,
    Fault::Maintenance,
    Fault::CapacityReservation,
];

/// EC2 user guide, "Spot Instance interruption notices".
const SPOT_WARNING: Duration = Duration::from_secs(120);

/// The share of mute agents that crash once they have drained.
const MUTE_CRASHES: f64 = 0.5;

/// How far off a wrong clock can be, either way.
const CLOCK_JUMP_MS: i64 = 300_000;

impl Fleet {
    /// Plans the next time that a fault strikes, by its rate per hour. Returns whether it will.
    pub(super) fn plan_strike(&mut self, host: usize, fault: Fault) -> bool {
        let rate = self.plan.faults.rate(fault, self.now);
        if rate <= 0.0 {
            return false;
        }
        let hours = -(1.0 - self.rng.f64()).ln() / rate;
        let at = self.now + Duration::from_secs_f64(hours * 3600.0);
        let strikes = at < self.plan.faults_end();
        if strikes {
            self.at(at, Step::Strike { host, fault });
        }
        strikes
    }

    pub(super) fn strike(&mut self, host: usize, fault: Fault) {
        if self.hosts[host].gone || self.hosts[host].frozen_until > self.now {
            return;
        }
        self.tell(host, || fault.name().to_owned());
        match fault {
            Fault::ImdsSilent => {
                let silence = self.delay(5_000, 180_000);
                self.hosts[host].imds_silent_until = self.now + silence;
                self.plan_poll(host, self.now);
                self.tell_lies(host);
            }
            Fault::AgentHang => {
                let hang = self.delay(5_000, 120_000);
                self.hosts[host].agent_hangs_until = self.now + hang;
            }
            Fault::AgentCrash => self.crash_agent(host),
            Fault::Reboot => {
                self.exit_agent(host);
                self.kill(host);
                let pause = self.delay(20_000, 90_000);
                self.reboots(host, pause);
            }
            Fault::Hibernation => {
                let pause = self.delay(30_000, 900_000);
                let until = (self.now + pause).min(self.plan.faults_end());
                self.hosts[host].frozen_until = until;
                self.judge.stopped(host);
                self.at(until, Step::Thaw { host });
            }
            // EC2 interrupts an instance only once.
            Fault::SpotInterruption | Fault::CapacityReservation if self.is_taken_back(host) => {}
            Fault::SpotInterruption => {
                debug_assert_eq!(self.world.life_cycle(&self.hosts[host].id), Some(LifeCycle::Spot));
                let at = self.now + SPOT_WARNING;
                self.judge.many_drains(host);
                self.hosts[host].spot = Some(SpotNotice { action: SpotAction::Terminate, at });
                self.plan_poll(host, self.now);
                self.at(at, Step::TakeBack { host });
            }
            Fault::StrayMessage => self.send_stray(),
            Fault::HookEdited => self.put_hook(),
            Fault::HookDeleted => {
                self.hook_changed(true);
                let _ = self.world.delete_hook(self.now, plan::GROUP, plan::HOOK);
                self.digest(None);
                let pause = self.delay(30_000, 600_000);
                self.after(pause, Step::HookAgain);
            }
            Fault::DiskRefuses => self.hosts[host].disk_refuses = true,
            Fault::GroupChange => self.detach(host),
            Fault::Standby => self.enter_standby(host),
            Fault::CredentialsRotated => self.rotate_credentials(host),
            Fault::Maintenance => self.schedule_maintenance(host),
            Fault::CapacityReservation => self.take_capacity(host),
            Fault::CallUnsent
            | Fault::CallUnanswered
            | Fault::LaunchHook
            | Fault::CapacityBlock
            | Fault::RootVolume
            | Fault::BusyProtection
            | Fault::TargetGroups
            | Fault::Throttling
            | Fault::EventLost
            | Fault::EventDisorder
            | Fault::Redelivery
            | Fault::ImdsStale
            | Fault::AgentStuck
            | Fault::AgentLie
            | Fault::DaemonCrash
            | Fault::JournalLost
            | Fault::JournalRefused
            | Fault::JournalSlow
            | Fault::ClockJump
            | Fault::SeveralHooks
            | Fault::WarmPool
            | Fault::Retention
            | Fault::AgentMute
            | Fault::AgentBlocks
            | Fault::AgentRuns
            | Fault::AgentSignaled
            | Fault::AgentCounts
            | Fault::AfterSteps
            | Fault::ForceSteps
            | Fault::OddDocument
            | Fault::SeveralAgents
            | Fault::AgentOrder
            | Fault::DrainAtWait
            | Fault::GlobalTimeout
            | Fault::ClockCorrected
            | Fault::HeartbeatDoubted
            | Fault::CallsFail
            | Fault::FalseMessage => {}
        }
    }

    /// The instance boots again, which takes this long. Its daemon and its agent have ended.
    pub(super) fn reboots(&mut self, host: usize, pause: Duration) {
        let now = self.now;
        self.hosts[host].boot(now);
        // The times from the last boot may come from a different clock.
        self.hosts[host].is_astray = true;
        self.hosts[host].frozen_until = now + pause;
        self.crash_others(host, pause);
        self.boot_units(host);
        self.warm_up(host);
        self.after(pause, Step::AgentStart { host });
    }

    pub(super) fn exit_agent(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        self.world.exit_agent(self.now, &id);
        self.digest(None);
    }

    pub(super) fn start_agent(&mut self, host: usize) {
        if !self.hosts[host].gone && self.may_start(host) {
            let id = self.hosts[host].id.clone();
            self.world.start_agent(self.now, &id);
            self.digest(None);
        }
    }

    /// An agent may crash right after it has drained, and mute agents do so often. What it said is then no longer true.
    pub(super) fn drained(&mut self, host: usize) {
        let mute = matches!(self.manner.request, Request::Mute { .. });
        if self.strikes(Fault::AgentCrash) || (mute && self.rng.f64() < MUTE_CRASHES) {
            let pause = self.delay(100, 3_000);
            self.after(pause, Step::AgentCrash { host });
        }
    }

    /// A frozen instance runs again. Its requests were cut off, and its timers are overdue.
    pub(super) fn thaw(&mut self, host: usize) {
        if self.hosts[host].machine.is_some() {
            self.judge.thawed(host, self.now);
        }
    }

    pub(super) fn take_back(&mut self, host: usize) {
        let Host { id, spot, capacity, .. } = &self.hosts[host];
        let now = self.now;
        let ours = [
            (spot.map(|notice| notice.at), Loss::Spot),
            (*capacity, Loss::Capacity),
            (self.block, Loss::Capacity),
        ];
        if let Some((_, cause)) = ours.into_iter().find(|(at, _)| at.is_some_and(|at| at <= now)) {
            self.judge.taken_back(host, cause);
        }
        let id = id.clone();
        self.world.take_back(now, &id);
        self.digest(None);
    }

    /// What the daemon finds when it restarts: its journal or none, and its clock.
    pub(super) fn start_with_faults(&mut self, host: usize) {
        let stale = self.hosts[host].unwritten.take().is_some();
        let lost = self.hosts[host].disk.is_some() && self.strikes(Fault::JournalLost);
        if lost {
            self.tell(host, || "the journal is lost".to_owned());
            self.hosts[host].disk = None;
        }
        if lost || stale {
            self.forget(host);
        }
        if self.strikes(Fault::ClockJump) {
            let ahead_ms = self.rng.i64(-CLOCK_JUMP_MS..=CLOCK_JUMP_MS);
            self.hosts[host].clock_ms = ahead_ms;
            self.hosts[host].clock_is_off = true;
            self.tell(host, || "the clock jumps".to_owned());
            self.judge.clock_jumped(host, ahead_ms);
        } else if self.strikes(Fault::ClockCorrected) {
            self.start_with_wrong_clock(host);
        }
    }

    /// A life of the daemon starts without the last journal of the previous one.
    pub(super) fn forget(&mut self, host: usize) {
        let this = &mut self.hosts[host];
        (this.forgetful, this.has_forgotten, this.is_astray) = (true, true, true);
        self.judge.forgot(host);
    }

    /// May plan a false message about the instance.
    pub(super) fn tell_lies(&mut self, host: usize) {
        if self.strikes(Fault::FalseMessage) {
            let pause = self.delay(0, 70_000);
            self.after(pause, Step::FalseMessage { host });
        }
    }

    pub(super) fn kill(&mut self, host: usize) {
        self.catch_up(host);
        self.tell(host, || "the daemon is killed".to_owned());
        self.hosts[host].stop();
        self.judge.killed(host);
        let delay = self.delay(500, 20_000);
        self.after(delay, Step::Start { host });
    }

    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        self.plan.faults.strikes(&mut self.rng, fault, self.now)
    }
}
