//! The force step, which ends an agent's work shortly before its deadline.

use std::time::Duration;

use super::super::effect::Effect;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::SpotAction;
use super::super::operator::Command;
use super::super::report::{ForceNews, Report};
use super::super::settings::{AgentSettings, Settings};
use super::bench::*;

const BEFORE: Duration = Duration::from_secs(30);

/// An agent that has ten minutes, and is forced half a minute before they are over.
fn forced() -> Settings {
    let agent = AgentSettings { force: Some(BEFORE), drain_timeout: secs(600), ..agent("worker") };
    Settings { agents: vec![agent], ..settings() }
}

/// The force steps that were started.
fn starts(bench: &Bench) -> usize {
    bench.count(|effect| matches!(effect, Effect::ForceAgent { .. }))
}

fn stops(bench: &Bench) -> usize {
    bench.count(|effect| matches!(effect, Effect::StopStep { .. }))
}

/// The force step that runs ends.
fn ends(bench: &mut Bench, result: Result<(), &str>) {
    let place = bench.open.iter().position(|effect| matches!(effect, Effect::ForceAgent { .. })).unwrap();
    let Effect::ForceAgent { id, .. } = bench.open.remove(place) else { unreachable!() };
    bench.event(Event::StepEnded { id, result: result.map_err(str::to_owned) });
}

/// An agent with work in flight, which was told a while ago.
fn draining(settings: Settings) -> Bench {
    let mut bench = Bench::waiting(settings);
    bench.reports(0, AgentState::Draining, 3);
    bench
}

/// It ends because of that. Its work was not done, so it has not drained.
#[test]
fn before_the_deadline() {
    let mut bench = draining(forced());
    let deadline = bench.orders(0)[0].deadline;
    bench.run(569);
    assert_eq!(starts(&bench), 0);
    bench.run(1);
    assert_eq!(bench.times(|effect| matches!(effect, Effect::ForceAgent { .. })), [deadline - BEFORE]);
    let phase = |bench: &mut Bench| bench.machine.status().agents[0].state.clone();
    assert_eq!(phase(&mut bench), "forced to end");
    ends(&mut bench, Ok(()));
    assert!(bench.completing().is_none(), "it still has work");
    bench.reports(0, AgentState::Drained, 0);
    assert!(bench.completing().is_some(), "nothing is left to wait for");
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
    assert_eq!(starts(&bench), 1);
}

#[test]
fn agents_that_have_drained() {
    let mut bench = draining(forced());
    bench.run(500);
    bench.reports(0, AgentState::Drained, 0);
    bench.complete(Ok(()));
    bench.run(200);
    assert_eq!((starts(&bench), bench.ended()), (0, Some(Outcome::Drained)));
}

/// A step that fails is not repeated. One that hangs is stopped at the deadline. Neither holds up the completion.
#[test]
fn never_in_the_way() {
    for hangs in [false, true] {
        let mut bench = draining(forced());
        bench.run(570);
        if !hangs {
            ends(&mut bench, Err("/opt/force exited with status 1"));
        }
        bench.run(29);
        assert!(bench.completing().is_none());
        bench.run(1);
        assert!(bench.completing().is_some());
        assert_eq!((starts(&bench), stops(&bench)), (1, usize::from(hangs)));
        let failed = |report: &Report| match report {
            Report::AgentForced { news: ForceNews::Failed { .. }, .. } => !hangs,
            Report::AgentForced { news: ForceNews::TimedOut, .. } => hangs,
            _ => false,
        };
        assert_eq!(bench.reported(failed), 1);
        assert!(bench.machine.status().last_error.is_some());
    }
}

/// A notice of EC2 leaves less time than the drain timeout.
#[test]
fn earlier_deadline() {
    let mut bench = draining(forced());
    bench.run(95);
    let at = bench.now + secs(125);
    bench.run_spot(5, Some(SpotNotice { action: SpotAction::Terminate, at }));
    let deadline = bench.orders(0).last().unwrap().deadline;
    assert!(deadline < at);
    bench.run(119);
    assert_eq!(bench.times(|effect| matches!(effect, Effect::ForceAgent { .. })), [deadline - BEFORE]);
}

/// An operator gives it more time: before, and while the journal is written.
#[test]
fn later_deadline() {
    for at in [569, 570] {
        let mut bench = draining(forced());
        bench.run(560);
        bench.disk = Disk::Hangs;
        bench.run(at - 560);
        bench.operator(Command::Extend(secs(3600)));
        while bench.machine.is_writing() {
            bench.journal_written();
        }
        bench.run(60);
        assert_eq!(starts(&bench), 0, "{at}");
        bench.run(3600);
        assert_eq!(starts(&bench), 1, "{at}");
    }
}

/// The deadline moves while the step runs. The step is stopped at the new one, earlier or later.
#[test]
fn deadline_moves_while_it_runs() {
    let mut settings = forced();
    settings.agents[0].force = Some(secs(300));
    let mut bench = draining(settings.clone());
    bench.run(310);
    assert_eq!(starts(&bench), 1);
    let at = bench.now + secs(125);
    bench.run_spot(5, Some(SpotNotice { action: SpotAction::Terminate, at }));
    let deadline = bench.orders(0).last().unwrap().deadline;
    assert!(deadline < at);
    bench.run(125);
    assert_eq!(bench.times(|effect| matches!(effect, Effect::StopStep { .. })), [deadline]);

    let mut bench = draining(settings);
    bench.run(310);
    bench.operator(Command::Extend(secs(600)));
    bench.run(889);
    assert_eq!((starts(&bench), stops(&bench)), (1, 0));
    bench.run(1);
    assert_eq!(stops(&bench), 1);
}

/// The step is in the journal before it starts. A restarted daemon does not repeat it, and knows that the work was ended.
#[test]
fn restarts() {
    let mut bench = draining(forced());
    bench.run(569);
    bench.disk = Disk::Hangs;
    bench.run(1);
    assert_eq!(starts(&bench), 0, "before the journal has it");
    bench.disk = Disk::Writes;
    bench.journal_written();
    assert_eq!(starts(&bench), 1);
    bench.crash();
    bench.reports(0, AgentState::Draining, 3);
    bench.run(10);
    assert_eq!(starts(&bench), 1);
    bench.reports(0, AgentState::Drained, 0);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}

/// The instance stays while the step runs. The next drain may force the agent again.
#[test]
fn each_drain_anew() {
    let mut bench = Bench::new(forced());
    for drain in 1..=2 {
        bench.run_spot(1, None);
        bench.operator(Command::Drain);
        bench.reports(0, AgentState::Draining, 3);
        bench.run(570);
        assert_eq!((starts(&bench), stops(&bench)), (drain, drain - 1));
        bench.operator(Command::Cancel);
        assert_eq!(stops(&bench), drain);
        bench.says(0, AgentAnswer::Returned);
        bench.run(60);
    }
    assert_eq!(bench.reported(|report| matches!(report, Report::AgentForced { .. })), 2);
}

/// An earlier agent's time is over while a later one drains. Each is forced before its own deadline.
#[test]
fn agents_in_turn() {
    let one = forced().agents[0].clone();
    let agents = vec![one.clone(), AgentSettings { name: "cache".to_owned(), order: 2, ..one }];
    let mut bench = draining(Settings { agents, ..settings() });
    bench.run(600);
    assert_eq!(starts(&bench), 1);
    bench.reports(1, AgentState::Draining, 1);
    bench.run(569);
    assert_eq!(starts(&bench), 1);
    bench.run(1);
    assert_eq!(starts(&bench), 2);
}

/// An agent that its force step broke has not failed to drain: its time was over.
#[test]
fn ends_badly() {
    let mut bench = draining(forced());
    bench.run(570);
    ends(&mut bench, Ok(()));
    bench.says(0, AgentAnswer::CannotDrain("worker.service has failed: exited with status 1".to_owned()));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}
