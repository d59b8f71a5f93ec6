//! The after steps: when they run, what ends them, and what a restart does to them.

use super::super::after::AfterStage;
use super::super::effect::{CompletionResult, Effect, EffectId};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::SpotAction;
use super::super::report::StepNews;
use super::super::settings::{AgentSettings, Settings};
use super::super::status::State;
use super::super::time::Time;
use super::bench::*;

/// Two steps, which have 30 and 300 seconds.
fn two_steps() -> Settings {
    Settings { after: vec![after_step("flush", 30), after_step("deregister", 300)], ..settings() }
}

/// The step that runs, and its deadline.
fn runs(bench: &Bench) -> Option<(usize, Time)> {
    bench.open.iter().find_map(|effect| match effect {
        Effect::RunStep { step, deadline, .. } => Some((*step, *deadline)),
        _ => None,
    })
}

fn step(bench: &Bench) -> Option<usize> {
    runs(bench).map(|(step, _)| step)
}

/// The steps that were started, in order.
fn started(bench: &Bench) -> Vec<usize> {
    let steps = bench.log.iter().filter_map(|(_, effect)| match effect {
        Effect::RunStep { step, .. } => Some(*step),
        _ => None,
    });
    steps.collect()
}

fn stopped(bench: &Bench) -> usize {
    bench.count(|effect| matches!(effect, Effect::StopStep { .. }))
}

fn end_of(bench: &mut Bench) -> EffectId {
    let place = bench.open.iter().position(|effect| matches!(effect, Effect::RunStep { .. })).unwrap();
    match bench.open.remove(place) {
        Effect::RunStep { id, .. } => id,
        other => unreachable!("{other:?}"),
    }
}

/// The step that runs ends.
fn ends(bench: &mut Bench, result: Result<(), &str>) {
    let id = end_of(bench);
    bench.event(Event::StepEnded { id, result: result.map_err(str::to_owned) });
}

fn told(bench: &Bench, news: impl Fn(&StepNews) -> bool) -> usize {
    bench.reported(|report| matches!(report, Report::AfterStep { news: of, .. } if news(of)))
}

/// One after the other, and the completion after both. The second fails, which is reported and changes nothing else.
#[test]
fn one_at_a_time() {
    let mut bench = Bench::waiting(two_steps());
    bench.reports(0, AgentState::Draining, 1);
    bench.run(1);
    assert_eq!(step(&bench), None, "the agent has work");
    bench.drained();
    assert_eq!(step(&bench), Some(0));
    assert_eq!(bench.machine.status().state, State::AfterSteps);
    assert_eq!(
        bench.machine.status().step.map(|step| (step.number, step.of, step.name)),
        Some((1, 2, "flush".into()))
    );
    ends(&mut bench, Ok(()));
    assert_eq!(step(&bench), Some(1));
    assert_eq!(bench.completing(), None);
    ends(&mut bench, Err("exited with status 1"));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    assert_eq!(told(&bench, |news| matches!(news, StepNews::Failed { why } if why.contains("status 1"))), 1);
    assert!(
        bench.machine.status().last_error.unwrap().what.contains("after step 2, deregister: exited with")
    );
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A step that takes longer than the heartbeat interval does not let the action expire.
#[test]
fn heartbeats_go_on() {
    let mut bench = Bench::waiting(Settings { after: vec![after_step("slow", 600)], ..settings() });
    bench.drained();
    bench.run(200);
    assert!(bench.is_beating());
    bench.beat(Ok(()));
    ends(&mut bench, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

#[test]
fn hangs() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    bench.run(29);
    assert_eq!(step(&bench), Some(0));
    bench.run(1);
    assert_eq!((step(&bench), stopped(&bench)), (Some(1), 1));
    bench.run(300);
    assert_eq!(stopped(&bench), 2);
    assert_eq!(told(&bench, |news| *news == StepNews::TimedOut), 2);
    assert!(bench.completing().is_some());
}

/// EC2 takes the instance in a minute. The first step may use the time that is left, and the second has none.
#[test]
fn no_time_is_left() {
    let steps = vec![after_step("long", 300), after_step("late", 300)];
    let mut bench = Bench::waiting(Settings { after: steps, ..settings() });
    bench.drained();
    let at = bench.now + secs(60);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action: SpotAction::Terminate, at }))));
    // The agent takes the order with the new deadline, which does not show that it has work.
    bench.drained();
    bench.run(49);
    assert_eq!((step(&bench), stopped(&bench)), (Some(0), 0));
    bench.run(1);
    assert_eq!((started(&bench), stopped(&bench)), (vec![0], 1));
    assert_eq!(told(&bench, |news| *news == StepNews::Skipped), 1);
    assert!(bench.completing().is_some());
}

/// The agents' own time is over, but not the hook's. The steps run, and the outcome is still `deadline`.
#[test]
fn after_the_deadline() {
    let mut bench = Bench::waiting(two_steps());
    bench.run_agent(3601, AgentAnswer::Accepted(None));
    assert_eq!(step(&bench), Some(0));
    ends(&mut bench, Ok(()));
    ends(&mut bench, Ok(()));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}

/// An operator wants the drain to end now, before the steps or in the middle of one.
#[test]
fn finished_by_an_operator() {
    let mut bench = Bench::waiting(two_steps());
    bench.operator(Command::Finish(CompletionResult::Abandon));
    assert_eq!(started(&bench), [0; 0]);
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    bench.operator(Command::Finish(CompletionResult::Abandon));
    assert_eq!((started(&bench), stopped(&bench)), (vec![0], 1));
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
}

/// The instance stays, so the step is stopped and the agent is returned. Another drain runs every step.
#[test]
fn withdrawn() {
    let mut bench = Bench::new(two_steps());
    bench.operator(Command::Drain);
    bench.drained();
    ends(&mut bench, Ok(()));
    bench.operator(Command::Cancel);
    assert_eq!((bench.ended(), stopped(&bench)), (Some(Outcome::Withdrawn), 1));
    bench.says(0, AgentAnswer::Returned);
    bench.operator(Command::Drain);
    bench.drained();
    ends(&mut bench, Ok(()));
    ends(&mut bench, Ok(()));
    assert_eq!(started(&bench), [0, 1, 0, 1]);
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// The agent was restarted and has work. The step is stopped. Once the agent has drained, every step runs again.
#[test]
fn agent_has_work_again() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    bench.run(10);
    bench.reports(0, AgentState::Draining, 1);
    assert_eq!((step(&bench), stopped(&bench)), (None, 1));
    assert_eq!(bench.completing(), None);
    bench.run(1);
    bench.drained();
    assert_eq!(step(&bench), Some(0));
}

/// A spot interruption alone has no lifecycle action. The drain ends after the steps.
#[test]
fn without_an_action() {
    let mut bench = Bench::new(two_steps());
    bench.target(TargetState::InService);
    let at = bench.now + secs(120);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action: SpotAction::Terminate, at }))));
    bench.drained();
    ends(&mut bench, Ok(()));
    assert_eq!(bench.ended(), None);
    ends(&mut bench, Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A restarted daemon runs the step that was interrupted, and none that is over. It does not wait for the agent.
#[test]
fn restarted() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    bench.crash();
    assert_eq!(started(&bench), [0, 1, 1]);
    ends(&mut bench, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    bench.crash();
    bench.run(1);
    assert_eq!(started(&bench), [0, 1, 1], "with the intention in the journal, only the completion is sent");
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// After a restart the agent turns out to have work. The outcome in the journal does not stand.
#[test]
fn restarted_with_work() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    bench.crash();
    bench.reports(0, AgentState::Draining, 1);
    assert_eq!(step(&bench), None);
    bench.run(1);
    bench.drained();
    assert_eq!(step(&bench), Some(0));
}

/// The instance rebooted, and the agents with it. What they were before does not count.
#[test]
fn rebooted() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    bench.settings.boot_id = Some("second".to_owned());
    bench.crash();
    assert_eq!(step(&bench), None);
    bench.drained();
    assert_eq!(step(&bench), Some(0));
}

/// The configuration has fewer steps than before.
#[test]
fn restarted_with_fewer_steps() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    bench.settings.after.pop();
    bench.crash();
    assert_eq!(step(&bench), None);
    assert!(bench.completing().is_some());
}

/// A step starts once the journal says that those before it are over. A disk that refuses the write does not keep it.
#[test]
fn journal_first() {
    for (disk, expected) in [(Disk::Hangs, None), (Disk::Refuses, Some(1))] {
        let mut bench = Bench::waiting(two_steps());
        bench.drained();
        bench.disk = disk;
        ends(&mut bench, Ok(()));
        assert_eq!(step(&bench), expected, "{disk:?}");
    }
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    bench.disk = Disk::Hangs;
    ends(&mut bench, Ok(()));
    bench.journal_written();
    assert_eq!(step(&bench), Some(1));
    let stage = bench.journal.and_then(|journal| journal.drain).map(|drain| drain.after);
    assert_eq!(stage, Some(AfterStage::Next { step: 1, outcome: Outcome::Drained }));
}

/// A completion is under way when the agent reports work, and then that it has none. The completion stands, and no step runs
/// beside it.
#[test]
fn completion_under_way() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    ends(&mut bench, Ok(()));
    bench.run(10);
    bench.reports(0, AgentState::Draining, 1);
    bench.run(1);
    bench.drained();
    assert_eq!(started(&bench), [0, 1]);
    bench.complete(Err(CallErrorKind::Unsent));
    bench.run(1);
    assert_eq!(started(&bench), [0, 1]);
    assert!(bench.completing().is_some());
}

/// The same, but the completion fails while the agent has work. The steps run again before the next one.
#[test]
fn completion_failed() {
    let mut bench = Bench::waiting(two_steps());
    bench.drained();
    ends(&mut bench, Ok(()));
    ends(&mut bench, Ok(()));
    bench.run(10);
    bench.reports(0, AgentState::Draining, 1);
    bench.complete(Err(CallErrorKind::Unsent));
    bench.run(1);
    bench.drained();
    assert_eq!(started(&bench), [0, 1, 0]);
    assert!(bench.completing().is_none());
}

/// The outcome changes while the last step runs. A restarted daemon knows the later one.
#[test]
fn outcome_changes() {
    let settings = Settings { on_failed: CompletionResult::Abandon, ..two_steps() };
    let mut bench = Bench::waiting(settings);
    bench.says(0, AgentAnswer::CannotDrain("not now".to_owned()));
    bench.run(10);
    bench.says(0, AgentAnswer::Accepted(Some(status(AgentState::Drained, 0))));
    assert_eq!(started(&bench), [0]);
    bench.crash();
    ends(&mut bench, Ok(()));
    ends(&mut bench, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// The steps are over, but no hook is known yet. A restarted daemon does not run them again.
#[test]
fn restarted_after_the_steps() {
    let mut bench = Bench::new(two_steps());
    bench.hooks = None;
    bench.target(TargetState::Terminated);
    bench.drained();
    ends(&mut bench, Ok(()));
    ends(&mut bench, Ok(()));
    assert!(bench.machine.status().hook.is_none());
    bench.crash();
    bench.drained();
    assert_eq!(started(&bench), [0, 1]);
}

/// One agent has drained, and the time of the other is over. A restarted daemon hears the first one only after it knows the
/// deadline of the second, and does not start over meanwhile.
#[test]
fn restarted_after_the_deadline() {
    let slow = AgentSettings { drain_timeout: secs(60), ..agent("slow") };
    let mut bench = Bench::waiting(Settings { agents: vec![agent("quick"), slow], ..two_steps() });
    bench.drained();
    bench.reports(1, AgentState::Draining, 1);
    bench.run(60);
    ends(&mut bench, Ok(()));
    assert_eq!(started(&bench), [0, 1]);
    bench.crash();
    assert_eq!(step(&bench), None, "the first agent has not been heard");
    bench.drained();
    assert_eq!(started(&bench), [0, 1, 1]);
}
