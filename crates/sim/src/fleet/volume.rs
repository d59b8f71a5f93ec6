//! Replacements of root volumes: a drain, a reboot that often loses the journal, and a launch. IMDS says nothing of them.

use std::time::Duration;

use crate::fault::Fault;

use super::{Fleet, Step, plan};

/// Draws of a run's replacements come from a generator of their own, so that they change no other draw.
const SALT: u64 = 0x766f_6c75;

/// The share of instances whose root volume is replaced in such a run.
const REPLACED: f64 = 0.3;

/// The share of instances whose journal is on the root volume.
const JOURNAL_LOST: f64 = 0.7;

/// How long a reboot takes, in milliseconds.
const REBOOT_MS: std::ops::Range<u64> = 20_000..90_000;

impl Fleet {
    /// Plans the replacements of a run.
    pub(super) fn plan_replacements(&mut self) {
        let rng = &mut fastrand::Rng::with_seed(self.plan.seed ^ SALT);
        if !self.plan.faults.strikes(rng, Fault::RootVolume, plan::START) {
            return;
        }
        for host in 0..self.hosts.len() {
            let at = plan::START + self.plan.span.mul_f64(rng.f64());
            let (is_replaced, loses_journal) = (rng.f64() < REPLACED, rng.f64() < JOURNAL_LOST);
            let pause = Duration::from_millis(rng.u64(REBOOT_MS));
            self.hosts[host].new_volume = is_replaced.then_some(Replacement { loses_journal, pause });
            if is_replaced {
                self.at(at, Step::ReplaceVolume { host });
            }
        }
    }

    pub(super) fn replace_volume(&mut self, host: usize) {
        self.judge.many_drains(host);
        let id = self.hosts[host].id.clone();
        self.world.replace_root_volume(self.now, &id);
        self.digest(None);
    }

    /// The instance reboots with its new root volume. Its agent has exited.
    pub(super) fn volume_replaced(&mut self, host: usize) {
        let Some(Replacement { loses_journal, pause }) = self.hosts[host].new_volume else { return };
        self.kill(host);
        if loses_journal {
            self.tell(host, || "the journal is lost with the root volume".to_owned());
            self.hosts[host].disk = None;
            self.forget(host);
        }
        self.reboots(host, pause);
    }
}

/// How the root volume of an instance is replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replacement {
    loses_journal: bool,
    pause: Duration,
}
