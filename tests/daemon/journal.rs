//! Stopping is crashing, and starting is recovering.

use std::time::Duration;

use drainhook::daemon::journal::JournalFile;
use machine::journal::Outcome;
use machine::status::State;
use sim::world::{Timing, WorldConfig};

use crate::support::daemon::{
    Daemon, Stage, completed, drained, journal, journal_of_an_image, message_deleted, told, worked, written,
};
use crate::world;

#[tokio::test]
async fn stop_during_a_drain() {
    let mut stage = Stage::new(20, world(6, 90)).await;
    let variables = stage.variables(&stage.instance());
    let mut daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("work that is done", worked).await;
    daemon.terminate();
    assert!(daemon.exit().await.success());
    let written = written(&variables, &stage.instance()).expect("a journal");
    assert!(written.drain.is_some_and(|drain| drain.phase.ended().is_none()));
    goes_on(&mut stage, 1).await;
}

#[tokio::test]
async fn kill_after_the_first_drain_request() {
    let mut stage = Stage::new(20, world(6, 90)).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("the first POST", told).await;
    daemon.kill().await;
    goes_on(&mut stage, 1).await;
}

/// Kills the daemon several times in a row, at arbitrary points.
#[tokio::test]
async fn repeated_kills() {
    let mut stage = Stage::new(20, world(6, 90)).await;
    let mut daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("the first POST", told).await;
    for lives in 2..=4 {
        daemon.kill().await;
        daemon = stage.daemon().await;
        stage.until_times(lives, "another POST", told).await;
    }
    daemon.kill().await;
    goes_on(&mut stage, 4).await;
}

/// The daemon is killed before the response to the completion arrives. The next life must find out that the action is
/// completed.
#[tokio::test]
async fn kill_at_the_completion() {
    let timing = Timing { terminated: Duration::from_secs(7200), ..Timing::default() };
    let mut stage = Stage::new(20, WorldConfig { timing, ..world(3, 30) }).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("the completion", completed).await;
    daemon.kill().await;
    let daemon = stage.daemon().await;
    stage.until("the end of its message", message_deleted).await;
    let status = daemon.status().await;
    assert_eq!((status.state, status.outcome), (State::Ended, Some(Outcome::Drained)));
    assert_eq!(stage.count(completed), 1);
}

/// A restarted daemon finishes the drain, with the deadline that the agent already knows. The agent was told to drain
/// `told_before` times before.
async fn goes_on(stage: &mut Stage, told_before: usize) {
    let _daemon = stage.daemon().await;
    let restart = stage.service.clock().now();
    stage.until_times(told_before + 1, "a POST of the new life", told).await;
    let deadlines = stage.deadlines();
    assert!(deadlines.windows(2).all(|pair| pair[1] <= pair[0]), "{deadlines:?}");
    stage.until_ended_well(&[restart]).await;
}

/// The journal is truncated during a drain. The daemon ignores it and relies on IMDS, the queue and the agent's status.
#[tokio::test]
async fn truncated_during_a_drain() {
    for cut in [0, 1, 300, usize::MAX] {
        let mut stage = Stage::new(50, world(3, 60)).await;
        let variables = stage.variables(&stage.instance());
        let daemon = Daemon::start(&variables).await;
        stage.scale_in();
        stage.until("a POST", told).await;
        daemon.kill().await;
        let whole = std::fs::read(journal(&variables)).expect("a journal");
        let left = &whole[..cut.min(whole.len() - 1)];
        std::fs::write(journal(&variables), left).expect("written");
        let daemon = Daemon::start(&variables).await;
        daemon.logged(&["WARN", "set aside"]).await;
        let set_aside = journal(&variables).with_extension("damaged.json");
        assert_eq!(std::fs::read(set_aside).expect("kept"), left);
        stage.until("the completion", completed).await;
        daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
        let before = stage.history.iter().take_while(|(_, one)| !completed(one));
        assert!(before.into_iter().any(|(_, one)| drained(one)), "{:#?}", stage.history);
        assert_eq!(stage.count(completed), 1);
    }
}

#[tokio::test]
async fn journal_of_another_instance() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    let file = JournalFile::open(variables["DRAINHOOK_JOURNAL__DIR"].as_ref()).expect("a folder");
    file.write(&journal_of_an_image()).expect("written");
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["WARN", "i-00000000000000bad"]).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

#[tokio::test]
async fn folder_cannot_be_created() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let file = stage.folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("written");
    let folder = file.join("journal").display().to_string();
    let daemon = stage.daemon_with(&[("DRAINHOOK_JOURNAL__DIR", &folder)]).await;
    daemon.logged(&["ERROR", "no journal is kept in"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}
