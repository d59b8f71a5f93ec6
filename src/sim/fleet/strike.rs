//! Faults that come by themselves, and chances that are taken.

use std::time::Duration;

use super::{Fleet, Step};
use crate::sim::fault::Fault;

impl Fleet {
    /// When a fault comes next that comes so often per hour.
    pub(super) fn plan_strike(&mut self, host: usize, fault: Fault) {
        let rate = self.plan.faults.rate(fault, self.now);
        if rate > 0.0 {
            let hours = -(1.0 - self.rng.f64()).ln() / rate;
            let at = self.now + Duration::from_secs_f64(hours * 3600.0);
            if at < self.plan.faults_end() {
                self.at(at, Step::Strike { host, fault });
            }
        }
    }

    pub(super) fn strike(&mut self, host: usize, fault: Fault) {
        self.plan_strike(host, fault);
        if self.hosts[host].gone {
            return;
        }
        self.tell(host, || fault.name().to_owned());
        match fault {
            Fault::ImdsSilent => {
                let silence = self.delay(5_000, 180_000);
                self.hosts[host].imds_silent_until = self.now + silence;
                self.plan_poll(host, self.now);
            }
            Fault::AgentHang => {
                let hang = self.delay(5_000, 120_000);
                self.hosts[host].agent_hangs_until = self.now + hang;
            }
            Fault::AgentCrash => {
                let id = self.hosts[host].id.clone();
                self.world.exit_agent(self.now, &id);
                self.digest(None);
                let pause = self.delay(1_000, 15_000);
                self.after(pause, Step::AgentStart { host });
            }
            Fault::CallUnsent
            | Fault::CallUnanswered
            | Fault::Throttling
            | Fault::EventLost
            | Fault::EventDisorder
            | Fault::ImdsStale
            | Fault::AgentLie
            | Fault::DaemonCrash
            | Fault::JournalLost
            | Fault::JournalRefused => {}
        }
    }

    pub(super) fn kill(&mut self, host: usize) {
        self.tell(host, || "the daemon is killed".to_owned());
        self.hosts[host].stop();
        self.judge.stopped(host);
        let delay = self.delay(500, 20_000);
        self.after(delay, Step::Start { host });
    }

    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        self.plan.faults.strikes(&mut self.rng, fault, self.now)
    }
}
