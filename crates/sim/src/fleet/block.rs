//! Runs that listen to the queue all the time, and the end of the Capacity Block that their instances run in.

use crate::fault::Fault;
use crate::world::warning::{BLOCK_TERMINATION, BLOCK_WARNING, BLOCK_WARNINGS};
use machine::settings::{Listen, Settings};

use super::{Fleet, Plan, Step, plan};

/// Draws of a run's Capacity Block come from a generator of their own, so that they change no other draw.
const SALT: u64 = 0x62_6c6f_636b;

pub(super) const RESERVATION: &str = "cr-0123456789abcdef0";

/// The Capacity Block of another group in the same account.
const ANOTHERS: &str = "cr-0fedcba9876543210";

/// The share of blocks that are extended after the warning, so that EC2 terminates nothing.
const EXTENDED: f64 = 0.3;

/// A Capacity Block that EC2 warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// The one of all instances, which ends.
    Ends,
    /// The one of all instances, which is extended after the warning.
    Extended,
    /// The one of another group.
    Anothers,
    /// The one of all instances. A stale or forged message has an end in the past.
    Past,
    /// The one of all instances. A forged message has an end days ahead.
    FarAhead,
}

/// Draws whether the daemons of a run listen, and whether they know their Capacity Block.
pub(super) fn draw(plan: &Plan, settings: &mut Settings) {
    let rng = &mut generator(plan);
    if !settings.queue || rng.bool() {
        return;
    }
    settings.listen = Listen::Always;
    if rng.bool() {
        settings.capacity_reservation = Some(RESERVATION.to_owned());
    }
}

fn generator(plan: &Plan) -> fastrand::Rng {
    fastrand::Rng::with_seed(plan.seed ^ SALT)
}

impl Fleet {
    /// Plans the end of the block, if this run has one.
    pub(super) fn plan_block(&mut self) {
        let rng = &mut generator(&self.plan);
        // The first draws are those of `draw`.
        let _ = (rng.bool(), rng.bool());
        if self.settings.listen == Listen::AtNotice {
            return;
        }
        let at = plan::START + self.plan.span.mul_f64(rng.f64());
        self.at(at, Step::BlockWarning { block: Block::Anothers });
        for block in [Block::Past, Block::FarAhead] {
            let at = plan::START + self.plan.span.mul_f64(rng.f64());
            if self.plan.faults.is_on(Fault::FalseMessage) {
                self.at(at, Step::BlockWarning { block });
            }
        }
        if self.settings.capacity_reservation.is_none()
            || !self.plan.faults.strikes(rng, Fault::CapacityBlock, plan::START)
        {
            return;
        }
        let at = plan::START + self.plan.span.mul_f64(rng.f64());
        let is_extended = rng.f64() < EXTENDED;
        let block = if is_extended { Block::Extended } else { Block::Ends };
        self.at(at, Step::BlockWarning { block });
    }

    /// EC2 warns that the block ends. No instance is named, so every instance needs the message.
    pub(super) fn warn_of_block(&mut self, block: Block) {
        let at = self.now + (BLOCK_WARNING - BLOCK_TERMINATION);
        let (detail_type, reservation) = match block {
            Block::Ends => (BLOCK_WARNINGS[0], RESERVATION),
            Block::Extended => (BLOCK_WARNINGS[1], RESERVATION),
            Block::Anothers => (BLOCK_WARNINGS[0], ANOTHERS),
            Block::Past | Block::FarAhead => (BLOCK_WARNINGS[0], RESERVATION),
        };
        let ends = match block {
            Block::Ends | Block::Extended | Block::Anothers => self.now + BLOCK_WARNING,
            Block::Past => self.now - BLOCK_WARNING,
            Block::FarAhead => self.now + BLOCK_WARNING * 100,
        };
        if self.strikes(Fault::EventLost) {
            return;
        }
        self.world.warn_of_block_end(self.now, detail_type, reservation, ends);
        self.digest(None);
        if !matches!(block, Block::Ends | Block::Extended) {
            return;
        }
        self.block = Some(at);
        for host in 0..self.hosts.len() {
            self.judge.many_drains(host);
            if block == Block::Ends {
                self.at(at, Step::TakeBack { host });
            }
        }
    }
}
