//! Agents that are told by a signal. A second one to the same process would cut its work off.

use super::super::effect::{AgentRequest, Effect};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::{Body, LifecycleMessage};
use super::super::operator::Command;
use super::super::process::{Process, Sight};
use super::super::settings::{AgentSettings, DrainAt, Listen, Protocol, Settings};
use super::bench::*;

const FIRST: Process = Process(1);
const SECOND: Process = Process(2);

fn once() -> Settings {
    Settings { agents: vec![AgentSettings { protocol: Protocol::Once, ..agent("worker") }], ..settings() }
}

fn seen(sight: Sight) -> AgentAnswer {
    AgentAnswer::Seen { sight, in_flight: None, waited: false }
}

/// The processes that were told, in order.
fn told(bench: &Bench) -> Vec<Process> {
    let told = bench.log.iter().filter_map(|(_, effect)| match effect {
        Effect::AskAgent { request: AgentRequest::Tell(process), .. } => Some(*process),
        _ => None,
    });
    told.collect()
}

/// A drain whose agent has been told and runs on.
fn draining() -> Bench {
    let mut bench = Bench::waiting(once());
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench
}

/// The process runs for two minutes after the signal. The daemon looks at it meanwhile. An operator gives it more time, which a
/// signal cannot tell.
#[test]
fn told_once_and_drained_when_gone() {
    let mut bench = draining();
    bench.run_agent(60, seen(Sight::Runs(FIRST)));
    bench.operator(Command::Extend(secs(600)));
    bench.run_agent(60, seen(Sight::Runs(FIRST)));
    assert!(bench.completing().is_none(), "its process runs");
    bench.run_agent(1, seen(Sight::Gone));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(told(&bench), [FIRST]);
}

/// The signal goes out only when the journal has it.
#[test]
fn nothing_is_told_before_the_journal_says_so() {
    let mut bench = Bench::waiting(once());
    bench.disk = Disk::Hangs;
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.run(30);
    assert_eq!(told(&bench), []);
    bench.journal_written();
    assert_eq!(told(&bench), [FIRST]);
    assert_eq!(bench.journal.as_ref().unwrap().agents[0].told, Some(FIRST));
}

/// The daemon is restarted right after it sent the signal, before the answer. It must not send a second one.
#[test]
fn restarted_between_the_signal_and_its_answer() {
    let mut bench = Bench::waiting(once());
    bench.says(0, seen(Sight::Runs(FIRST)));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Tell(FIRST)));
    bench.crash();
    assert_eq!(bench.asks(0), Some(&AgentRequest::Status), "its state is read at once");
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.run(1);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Watch(FIRST)), "its end is news");
    bench.run_agent(60, seen(Sight::Runs(FIRST)));
    assert_eq!(told(&bench), [FIRST]);
    bench.run_agent(1, seen(Sight::Gone));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// The unit comes back after its process has left. The new process takes work, so it is told too.
#[test]
fn another_process_is_told_too() {
    let mut bench = draining();
    bench.run_agent(2, seen(Sight::Leaves));
    bench.says(0, seen(Sight::Runs(SECOND)));
    assert!(bench.completing().is_none(), "the new process may have taken work");
    assert_eq!(bench.asks(0), Some(&AgentRequest::Tell(SECOND)));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(1, seen(Sight::Gone));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(told(&bench), [FIRST, SECOND]);
}

/// The signal could not be sent, so it is tried again, and the journal does not claim otherwise.
#[test]
fn a_signal_that_was_not_sent_is_sent_again() {
    let mut bench = Bench::waiting(once());
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.says(0, AgentAnswer::Busy("no permission".to_owned()));
    assert_eq!(bench.journal.as_ref().unwrap().agents[0].told, None);
    bench.run(1);
    bench.says(0, seen(Sight::Runs(FIRST)));
    assert_eq!(told(&bench), [FIRST, FIRST]);
}

/// Nothing can be sent until the grace period is over.
#[test]
fn a_signal_that_can_never_be_sent() {
    let mut bench = Bench::waiting(once());
    for _ in 0..70 {
        let answer = match bench.asks(0) {
            Some(AgentRequest::Tell(_)) => Some(AgentAnswer::Busy("no permission".to_owned())),
            Some(_) => Some(seen(Sight::Runs(FIRST))),
            None => None,
        };
        if let Some(answer) = answer {
            bench.says(0, answer);
        }
        bench.run(1);
    }
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}

/// A drain that an operator started. The agent has been told and runs on.
fn ordered_by_an_operator() -> Bench {
    let mut bench = Bench::new(once());
    bench.operator(Command::Drain);
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.says(0, AgentAnswer::Accepted(None));
    bench
}

/// The drain is withdrawn. The process that was told finishes its work first. Only then is the agent started again.
#[test]
fn returned_once_the_told_process_has_gone() {
    let mut bench = ordered_by_an_operator();
    bench.operator(Command::Cancel);
    bench.run_agent(30, seen(Sight::Runs(FIRST)));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Watch(FIRST)), "it still finishes its work");
    bench.says(0, seen(Sight::Gone));
    bench.run(1);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
}

/// The drain is withdrawn, and the daemon is restarted. It does not take the process that was told for one that serves.
#[test]
fn returned_after_a_restart() {
    let mut bench = ordered_by_an_operator();
    bench.operator(Command::Cancel);
    bench.crash();
    bench.run_agent(30, seen(Sight::Runs(FIRST)));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Watch(FIRST)), "it still finishes its work");
    bench.says(0, seen(Sight::Runs(SECOND)));
    bench.run(1);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
}

/// The drain is withdrawn, and another starts while the process that was told still finishes its work.
#[test]
fn a_second_drain_does_not_tell_the_same_process() {
    let mut bench = ordered_by_an_operator();
    bench.operator(Command::Cancel);
    bench.run_agent(5, seen(Sight::Runs(FIRST)));
    bench.operator(Command::Drain);
    bench.run_agent(30, seen(Sight::Runs(FIRST)));
    assert_eq!(told(&bench), [FIRST]);
}

/// A drain that is withdrawn while the journal is being written, before the signal. The agent serves on.
fn withdrawn_before_the_signal() -> Bench {
    let mut bench = Bench::new(once());
    bench.operator(Command::Drain);
    bench.disk = Disk::Hangs;
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.operator(Command::Cancel);
    bench.disk = Disk::Writes;
    bench.journal_written();
    bench
}

/// The drain is withdrawn right before the signal, and the daemon is restarted. The process was not told, so it is told in
/// the next drain.
#[test]
fn withdrawn_right_before_the_signal() {
    let mut bench = withdrawn_before_the_signal();
    assert_eq!(bench.journal.as_ref().unwrap().agents[0].told, None);
    bench.says(0, AgentAnswer::Returned);
    assert_eq!(told(&bench), []);
    bench.crash();
    assert_eq!(bench.asks(0), None, "it serves");
    bench.operator(Command::Drain);
    bench.says(0, seen(Sight::Runs(FIRST)));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Tell(FIRST)));
}

/// The drain is withdrawn. The process that was told ends badly, and its unit fails. The agent is started again.
#[test]
fn returned_once_the_told_process_has_failed() {
    let mut bench = ordered_by_an_operator();
    bench.operator(Command::Cancel);
    bench.run_agent(30, seen(Sight::Runs(FIRST)));
    bench.says(0, AgentAnswer::CannotDrain("its main process exited with status 3".to_owned()));
    bench.run(10);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
}

/// The drain is withdrawn, and the daemon is restarted with a configuration that drains the agent in another way. Its process is
/// not waited for.
#[test]
fn returned_by_another_configuration() {
    let mut bench = ordered_by_an_operator();
    bench.operator(Command::Cancel);
    bench.settings.agents[0].protocol = Protocol::Polled;
    bench.crash();
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
}

/// After a reboot, a new drain waits for Wait while the process of the new boot serves. The journal names no process before it
/// is told, so another restart does not keep the daemon from telling it.
#[test]
fn a_process_is_named_only_when_its_drain_tells() {
    let mut bench = Bench::new(Settings { drain_at: DrainAt::Wait, listen: Listen::Always, ..once() });
    bench.target(TargetState::InService);
    let replaced = LifecycleMessage { replaces_root_volume: true, ..lifecycle("token-1", bench.now) };
    bench.receive(vec![message("r1", Body::Lifecycle(replaced))]);
    bench.says(0, seen(Sight::Runs(FIRST)));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.says(0, seen(Sight::Gone));
    bench.complete(Ok(()));
    bench.settings.boot_id = Some("second".to_owned());
    bench.crash();
    bench.target(TargetState::Terminated);
    assert_eq!(bench.drains_started(), 2);
    bench.says(0, seen(Sight::Runs(SECOND)));
    bench.run(5);
    bench.crash();
    bench.target(TargetState::Terminated);
    bench.receive(vec![message("r2", Body::Lifecycle(lifecycle("token-2", bench.now)))]);
    bench.says(0, seen(Sight::Runs(SECOND)));
    bench.run(5);
    assert_eq!(told(&bench), [FIRST, SECOND]);
}
