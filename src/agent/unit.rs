//! Drains an agent that is a systemd unit: by stopping it, by a signal to its main process, or by a oneshot unit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::systemctl::{self, LIMIT, SystemctlError, UnitState};
use crate::clock::boottime;
use crate::config::UnitDrain;
use machine::effect::AgentRequest;
use machine::event::AgentAnswer;
use machine::process::{Process, Sight};

/// Time limit for starting a unit.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A unit that is draining is watched this long before it is asked about again, unless it ends sooner.
const HOLD: Duration = Duration::from_secs(20);

/// How long a unit may take from the end of its main process until it is inactive, before it is asked about again.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the daemon looks at it meanwhile.
const SETTLE_POLL: Duration = Duration::from_millis(50);

/// How long a thread waits for the end of a process.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// What a program exits with that was told to end, by the convention of shells: 128 and the number of SIGTERM or SIGINT.
const ENDED_BY_SIGNAL: [i32; 2] = [143, 130];

/// An agent that is a systemd unit.
#[derive(Debug)]
pub struct UnitAgent {
    name: String,
    unit: String,
    drain: UnitDrain,
}

impl UnitAgent {
    /// An agent that is this unit. Asks nothing yet.
    pub fn new(name: String, unit: String, drain: UnitDrain) -> Self {
        UnitAgent { name, unit, drain }
    }

    /// Makes one request. Starting a oneshot that drains has no time limit: the caller drops this future at the deadline, and
    /// that stops the oneshot.
    pub async fn ask(&self, request: &AgentRequest) -> AgentAnswer {
        let answer = match (request, &self.drain) {
            (AgentRequest::Drain(_), UnitDrain::Start(oneshot)) => self.run(oneshot).await,
            (AgentRequest::Drain(_), UnitDrain::Stop) => self.begin_stop().await,
            (AgentRequest::Tell(process), UnitDrain::Signal(signal)) => self.signal(*process, signal).await,
            // The machine asks only what fits the settings.
            (AgentRequest::Drain(_), UnitDrain::Signal(_))
            | (AgentRequest::Tell(_), UnitDrain::Stop | UnitDrain::Start(_)) => {
                Ok(AgentAnswer::Busy(format!("{} is drained in another way", self.unit)))
            }
            (AgentRequest::Status, _) => self.watch(None).await,
            (AgentRequest::Watch(process), _) => self.watch(Some(*process)).await,
            (AgentRequest::Return, _) => self.start().await,
        };
        answer.unwrap_or_else(|error| AgentAnswer::Unreachable { why: error.to_string(), gone: false })
    }

    /// Stops the unit. One that has failed already says so, and is left as it is.
    async fn begin_stop(&self) -> Result<AgentAnswer, SystemctlError> {
        if let UnitState::Failed { result, status } = systemctl::show(&self.unit).await?.state
            && let Some(why) = loss(&self.unit, &result, status)
        {
            return Ok(AgentAnswer::CannotDrain(why));
        }
        self.stop().await
    }

    async fn stop(&self) -> Result<AgentAnswer, SystemctlError> {
        self.log("stop", &format!("systemctl stop {}", self.unit));
        systemctl::call(&["stop", "--no-block", "--", &self.unit], LIMIT).await?;
        Ok(AgentAnswer::Accepted(None))
    }

    async fn start(&self) -> Result<AgentAnswer, SystemctlError> {
        self.log("start", &format!("systemctl start {}", self.unit));
        Ok(match systemctl::call(&["start", "--", &self.unit], START_LIMIT).await {
            Ok(_) => AgentAnswer::Returned,
            Err(error) => AgentAnswer::Busy(error.to_string()),
        })
    }

    /// Sends the signal. Whether it was sent is not known if systemd does not answer. Then it counts as sent.
    async fn signal(&self, process: Process, signal: &str) -> Result<AgentAnswer, SystemctlError> {
        match systemctl::show(&self.unit).await?.state {
            UnitState::Runs { process: runs, main: Some(_) } if runs == process => {}
            _ => return Ok(AgentAnswer::Busy(format!("the process of {} has changed", self.unit))),
        }
        match self.kill(signal).await {
            Ok(()) => {}
            Err(error @ SystemctlError::TimedOut { .. }) => {
                let agent = self.name.as_str();
                tracing::warn!(
                    event = "signal_unanswered",
                    agent,
                    "{agent}: {error}; the signal may have been sent, so it is not sent again"
                );
            }
            Err(error) => return Err(error),
        }
        Ok(AgentAnswer::Accepted(None))
    }

    /// Sends a signal to the main process, whichever it is.
    pub async fn force(&self, signal: &str) -> Result<(), SystemctlError> {
        self.kill(signal).await
    }

    async fn kill(&self, signal: &str) -> Result<(), SystemctlError> {
        self.log("kill", &format!("systemctl kill --kill-who=main --signal={signal} {}", self.unit));
        let signal = format!("--signal={signal}");
        systemctl::call(&["kill", "--kill-who=main", &signal, "--", &self.unit], LIMIT).await.map(drop)
    }

    /// Starts the unit that drains, and waits for its end.
    async fn run(&self, oneshot: &str) -> Result<AgentAnswer, SystemctlError> {
        self.log("start", &format!("systemctl start {oneshot}"));
        let mut running = Running { unit: Some(oneshot.to_owned()) };
        let ended = systemctl::call(&["start", "--", oneshot], Duration::MAX).await;
        running.unit = None;
        ended.map(|_| AgentAnswer::Accepted(None))
    }

    /// Looks at the unit. If it is being stopped, or the process that was told still runs, waits for the end.
    async fn watch(&self, told: Option<Process>) -> Result<AgentAnswer, SystemctlError> {
        let state = self.look().await?;
        let Some(main) = draining(&state, told) else { return Ok(self.seen(state, false)) };
        match tokio::time::timeout(HOLD, ended(main)).await {
            // It cannot be watched: it has just ended, or is in another PID namespace. Only systemd's word counts.
            Ok(Err(_)) => Ok(self.seen(state, false)),
            Ok(Ok(())) | Err(_) => Ok(self.seen(self.settled(told).await?, true)),
        }
    }

    /// Looks at the unit, and waits for nothing.
    pub async fn look_once(&self) -> AgentAnswer {
        match self.look().await {
            Ok(state) => self.seen(state, false),
            Err(error) => AgentAnswer::Unreachable { why: error.to_string(), gone: false },
        }
    }

    /// Whether a unit of its own tells it to drain.
    pub fn is_drained_by_another(&self) -> bool {
        matches!(self.drain, UnitDrain::Start(_))
    }

    fn seen(&self, state: UnitState, waited: bool) -> AgentAnswer {
        let answer = |sight| AgentAnswer::Seen { sight, in_flight: None, waited };
        match state {
            UnitState::Runs { process, .. } => answer(Sight::Runs(process)),
            UnitState::Stops { .. } | UnitState::Restarts => answer(Sight::Leaves),
            UnitState::Inactive => answer(Sight::Gone),
            UnitState::Failed { result, status } => match loss(&self.unit, &result, status) {
                Some(why) => AgentAnswer::CannotDrain(why),
                None => answer(Sight::Gone),
            },
            UnitState::Unusable(why) => AgentAnswer::Unsupported(format!("{}: {why}", self.unit)),
        }
    }

    /// The state soon after the main process has ended.
    async fn settled(&self, told: Option<Process>) -> Result<UnitState, SystemctlError> {
        let since = boottime();
        loop {
            let state = self.look().await?;
            let settles = matches!(state, UnitState::Stops { main: None } | UnitState::Restarts)
                || matches!(state, UnitState::Runs { process, .. } if told == Some(process));
            if !settles || boottime() - since >= SETTLE {
                return Ok(state);
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
    }

    /// Reads the state. A unit that was told by a signal and waits to be started again is stopped: the next process would take
    /// work. There is no time to ask the machine first, because systemd waits only 100 ms by default (`RestartSec=`).
    async fn look(&self) -> Result<UnitState, SystemctlError> {
        let state = systemctl::show(&self.unit).await?.state;
        if state == UnitState::Restarts && matches!(self.drain, UnitDrain::Signal(_)) {
            self.stop().await?;
        }
        Ok(state)
    }

    fn log(&self, verb: &str, what: &str) {
        let agent = self.name.as_str();
        tracing::info!(event = "unit_told", agent, unit = self.unit.as_str(), verb, "{agent}: {what}");
    }
}

/// The main process, if it is draining.
fn draining(state: &UnitState, told: Option<Process>) -> Option<i32> {
    match state {
        UnitState::Stops { main } => *main,
        UnitState::Runs { process, main } if told == Some(*process) => *main,
        UnitState::Runs { .. }
        | UnitState::Restarts
        | UnitState::Inactive
        | UnitState::Failed { .. }
        | UnitState::Unusable(_) => None,
    }
}

/// Stops the unit that drains when it is dropped before that unit has ended.
struct Running {
    unit: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(unit) = self.unit.take() else { return };
        // When the daemon itself is stopped, the unit goes on, and the next run of the daemon waits for it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = systemctl::call(&["stop", "--no-block", "--", &unit], LIMIT).await {
                    tracing::warn!(event = "unit_not_stopped", unit = unit.as_str(), "{error}");
                }
            });
        }
    }
}

/// Waits until the process has ended.
async fn ended(pid: i32) -> io::Result<()> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
    loop {
        let process = Arc::clone(&process);
        // A process's descriptor becomes readable when it has ended: pidfd_open(2). A thread waits for it, and not for long,
        // because it cannot be interrupted.
        let waiting = tokio::task::spawn_blocking(move || {
            poll(&mut [PollFd::new(&*process, PollFlags::IN)], Some(&WAIT))
        });
        if waiting.await.map_err(io::Error::other)?? > 0 {
            return Ok(());
        }
    }
}

/// Why a unit that ended badly has lost work, if it has. A unit that systemd ended may have had work left.
fn loss(unit: &str, result: &str, status: i32) -> Option<String> {
    match result {
        "exit-code" if ENDED_BY_SIGNAL.contains(&status) => None,
        // It came back too often, and the last process has left.
        "start-limit-hit" => None,
        "timeout" => Some(format!(
            "{unit} was killed because it did not stop within its TimeoutStopSec; raise that above agent.drain_timeout"
        )),
        "exit-code" => Some(format!(
            "{unit} has failed: its main process exited with status {status}; if that is how it ends when it has drained, \
             set SuccessExitStatus={status} in its unit"
        )),
        "oom-kill" => Some(format!("{unit} has failed: the kernel killed it because memory was short")),
        other => Some(format!("{unit} has failed ({other}, status {status}); see journalctl --unit {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_lost_work() {
        let lost = |result, status| loss("a.service", result, status).unwrap_or_default();
        assert_eq!(lost("exit-code", 143), "", "uvicorn ends like this");
        assert_eq!(lost("start-limit-hit", 0), "");
        assert!(lost("timeout", 9).contains("TimeoutStopSec"));
        assert!(lost("exit-code", 3).contains("SuccessExitStatus=3"));
        assert!(lost("signal", 9).contains("(signal, status 9); see journalctl --unit a.service"));
    }

    /// A process that ends while it is watched, and one that has ended before.
    #[tokio::test]
    async fn the_end_of_a_process() {
        let mut child = tokio::process::Command::new("sleep").arg("0.2").spawn().expect("sleep is installed");
        let pid = child.id().expect("it runs").cast_signed();
        ended(pid).await.expect("it ends");
        assert!(child.wait().await.expect("it is our child").success());
        assert!(ended(pid).await.is_err());
    }
}
