//! Polls the instance metadata service forever.

use std::time::Duration;

use tokio::sync::mpsc::Sender;

use crate::aws::imds::{Identity, Imds, ImdsError};
use crate::clock::Clock;
use machine::Time;
use machine::event::ImdsReading;

/// The longest pause between tries while IMDS is silent. Well below the minute after which the machine reports the silence.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The first pause while IMDS is silent.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// How often each category is polled, in machine time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polls {
    /// The target lifecycle state.
    pub target: Duration,
    /// Spot interruptions and rebalance recommendations. AWS recommends 5 s.
    pub spot: Duration,
    /// Scheduled maintenance.
    pub maintenance: Duration,
}

impl Default for Polls {
    fn default() -> Self {
        Polls {
            target: Duration::from_secs(1),
            spot: Duration::from_secs(5),
            maintenance: Duration::from_secs(60),
        }
    }
}

/// The receiver of the readings is gone.
struct Closed;

/// Polls at once, then repeatedly, until the receiver of the readings is gone. With `identities`, also sends the instance's
/// identity there once, as soon as IMDS answers.
pub async fn poll(
    imds: Imds,
    clock: Clock,
    polls: Polls,
    sender: Sender<ImdsReading>,
    identities: Option<Sender<Identity>>,
) {
    let start = clock.now();
    let mut poller = Poller {
        imds,
        clock,
        polls,
        sender,
        identities,
        spot_due: start,
        maintenance_due: start,
        silences: 0,
    };
    while let Ok(pause) = poller.round().await {
        clock.sleep(pause).await;
    }
}

struct Poller {
    imds: Imds,
    clock: Clock,
    polls: Polls,
    sender: Sender<ImdsReading>,
    /// Where to send the instance's identity; `None` once it was sent.
    identities: Option<Sender<Identity>>,
    spot_due: Time,
    maintenance_due: Time,
    /// Consecutive rounds without a target state.
    silences: u32,
}

impl Poller {
    /// Polls the target state, and the other categories that are due. Returns the pause until the next round.
    async fn round(&mut self) -> Result<Duration, Closed> {
        let start = self.clock.now();
        self.identify().await;
        let target = self.imds.target_state().await;
        let silent = target.as_ref().is_err_and(ImdsError::concerns_all_paths);
        self.silences = if target.is_ok() { 0 } else { self.silences.saturating_add(1) };
        match target {
            Ok(target) => self.send(ImdsReading::TargetState(target)).await?,
            Err(error) => {
                let why = error.to_string();
                if !silent {
                    self.send(ImdsReading::Malformed { why: why.clone() }).await?;
                }
                self.send(ImdsReading::Silent { why }).await?;
            }
        }
        if !silent {
            self.less_often(start).await?;
        }
        Ok(match self.silences {
            0 => self.polls.target.saturating_sub(self.clock.now().since(start)),
            silences => jittered(pause_after(silences)),
        })
    }

    /// Sends the instance's identity, once.
    async fn identify(&mut self) {
        if let Some(identities) = &self.identities
            && let Ok(identity) = self.imds.identity().await
            && identities.send(identity).await.is_ok()
        {
            self.identities = None;
        }
    }

    /// Polls the categories that are polled less often. An error is reported and changes nothing else: only the target state
    /// decides whether IMDS is silent.
    async fn less_often(&mut self, now: Time) -> Result<(), Closed> {
        if now >= self.spot_due {
            self.spot_due = now + self.polls.spot;
            let spot = self.imds.spot().await;
            self.tell(spot, ImdsReading::Spot).await?;
            let rebalance = self.imds.rebalance().await;
            self.tell(rebalance, ImdsReading::Rebalance).await?;
        }
        if now >= self.maintenance_due {
            self.maintenance_due = now + self.polls.maintenance;
            let maintenance = self.imds.maintenance().await;
            self.tell(maintenance, ImdsReading::Maintenance).await?;
        }
        Ok(())
    }

    async fn tell<T>(
        &self,
        answer: Result<T, ImdsError>,
        reading: impl FnOnce(T) -> ImdsReading,
    ) -> Result<(), Closed> {
        match answer {
            Ok(answer) => self.send(reading(answer)).await,
            Err(error) if error.concerns_all_paths() => Ok(()),
            Err(error) => self.send(ImdsReading::Malformed { why: error.to_string() }).await,
        }
    }

    async fn send(&self, reading: ImdsReading) -> Result<(), Closed> {
        self.sender.send(reading).await.map_err(|_| Closed)
    }
}

/// 1, 2, 4, 8, 10, 10, … seconds.
fn pause_after(silences: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(silences.saturating_sub(1))).min(PAUSE_MAX)
}

/// A random pause between half of `pause` and all of it, so that the instances of a group do not poll in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_short() {
        let seconds: Vec<u64> = (1..7).map(|silences| pause_after(silences).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
        for _ in 0..1000 {
            let pause = jittered(PAUSE_MAX);
            assert!(pause >= PAUSE_MAX / 2 && pause <= PAUSE_MAX, "{pause:?}");
        }
    }
}
