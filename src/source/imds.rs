//! Polls the instance metadata service forever.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use crate::aws::imds::{Identity, Imds, ImdsError};
use crate::clock::Clock;
use machine::Time;
use machine::event::{ImdsReading, LifeCycle};

/// The longest pause between tries while IMDS is silent. Well below the minute after which the machine reports the silence.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The first pause while IMDS is silent.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The pause between tries for the life cycle. Until it is known, spot notices are polled.
const LIFE_CYCLE_PAUSE: Duration = Duration::from_secs(60);

/// How often each category is polled, in machine time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polls {
    /// The target lifecycle state.
    pub target: Duration,
    /// Spot interruptions and rebalance recommendations, unless IMDS says that this is an on-demand instance. AWS recommends
    /// 5 s.
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
        life_cycle: Asked::No { due: start },
        silences: 0,
    };
    loop {
        // The pause begins with the round. A timer that is set after the answer would wake the thread once more.
        let (answered, ()) = tokio::join!(poller.round(), clock.pause(polls.target));
        match answered {
            Ok(None) => {}
            Ok(Some(pause)) => clock.sleep(pause.saturating_sub(polls.target)).await,
            Err(Closed) => return,
        }
    }
}

/// What is known of the instance's life cycle, which never changes.
enum Asked {
    /// It is to be asked for.
    No { due: Time },
    /// The request is under way. Its task ends with IMDS's time limit.
    UnderWay(JoinHandle<Result<Option<LifeCycle>, ImdsError>>),
    /// IMDS has answered. `None` if it has no such category.
    Known(Option<LifeCycle>),
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
    life_cycle: Asked,
    /// Consecutive rounds without a target state.
    silences: u32,
}

impl Poller {
    /// Polls the target state, and the other categories that are due. Returns the pause until the next round, if it is not the
    /// usual one.
    async fn round(&mut self) -> Result<Option<Duration>, Closed> {
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
        Ok((self.silences > 0).then(|| jittered(pause_after(self.silences))))
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
        self.hear_life_cycle(now).await?;
        let on_demand = matches!(self.life_cycle, Asked::Known(Some(LifeCycle::OnDemand)));
        if now >= self.spot_due && !on_demand {
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
        self.ask_life_cycle(now);
        Ok(())
    }

    /// Asks for the life cycle in a task of its own, so that no poll waits for the answer. The poller is about to pause, so the
    /// request can use its connection and its token.
    fn ask_life_cycle(&mut self, now: Time) {
        if matches!(self.life_cycle, Asked::No { due } if now >= due) {
            let mut imds = self.imds.clone();
            self.life_cycle = Asked::UnderWay(tokio::spawn(async move { imds.life_cycle().await }));
        }
    }

    /// Takes the answer about the life cycle, if there is one by now.
    async fn hear_life_cycle(&mut self, now: Time) -> Result<(), Closed> {
        let Asked::UnderWay(task) = &mut self.life_cycle else { return Ok(()) };
        if !task.is_finished() {
            return Ok(());
        }
        let answer = task.await;
        self.life_cycle = match &answer {
            Ok(Ok(known)) => Asked::Known(known.clone()),
            Ok(Err(_)) | Err(_) => Asked::No { due: now + LIFE_CYCLE_PAUSE },
        };
        match answer {
            Ok(Ok(Some(life_cycle))) => self.send(ImdsReading::LifeCycle(life_cycle)).await,
            Ok(Err(error)) if !error.concerns_all_paths() => {
                self.send(ImdsReading::Malformed { why: error.to_string() }).await
            }
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(()),
        }
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
