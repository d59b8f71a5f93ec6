//! How long to wait before the next try.

use std::time::Duration;

/// An exponential backoff from `first` to `most`. Each wait is drawn from its upper half, so that a fleet that fails together
/// does not retry together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Backoff {
    /// A backoff with bounds in milliseconds.
    pub const fn between_ms(first: u64, most: u64) -> Self {
        Backoff { first: Duration::from_millis(first), most: Duration::from_millis(most) }
    }

    /// The wait after `failures` failures in a row. `failures` is at least 1.
    pub fn delay(self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.most);
        ceiling.mul_f64(0.5 + 0.5 * rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_bounds() {
        let backoff = Backoff::between_ms(1_000, 10_000);
        let mut rng = fastrand::Rng::with_seed(1);
        for (failures, ceiling_ms) in [(1, 1_000), (2, 2_000), (4, 8_000), (5, 10_000), (u32::MAX, 10_000)] {
            let ceiling = Duration::from_millis(ceiling_ms);
            for _ in 0..100 {
                let delay = backoff.delay(failures, &mut rng);
                assert!(delay >= ceiling / 2 && delay <= ceiling, "{failures}: {delay:?}");
            }
        }
    }
}
