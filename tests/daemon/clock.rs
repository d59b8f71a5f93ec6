//! The system's clock is wrong when the daemon starts, and is corrected while it runs, as chrony does after a boot.
//!
//! These tests run in real time, because AWS's deadlines are instants. They set the daemon's clock through a file
//! (`DRAINHOOK_CLOCK_OFFSET`, in debug builds).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drainhook::clock::Clock;
use machine::Time;
use machine::journal::Outcome;
use machine::status::State;
use sim::world::{Happening, HookSpec, LifeCycle, Work, WorldConfig};

use crate::support::daemon::{Daemon, Stage, Variables, told, worked};
use crate::support::{Server, ok};

/// How wrong the clock is at first.
const WRONG_MS: i64 = 360_000;

/// A daemon with a wrong clock, on an instance whose IMDS can list a spot interruption.
struct Play {
    stage: Stage,
    variables: Variables,
    offset: PathBuf,
    /// When EC2 interrupts the instance, in Unix milliseconds; 0 for no interruption.
    spot_at: Arc<AtomicU64>,
    _imds: Server,
}

impl Play {
    async fn new(work: Work, offset_ms: i64) -> Self {
        let hooks = vec![HookSpec::terminating("drain", Duration::from_secs(600))];
        let stage =
            Stage::new(1, WorldConfig { hooks, work, life_cycle: LifeCycle::Spot, ..WorldConfig::default() })
                .await;
        let mut variables = stage.variables(&stage.instance());
        let offset = stage.folder.path().join("offset");
        variables.insert("DRAINHOOK_CLOCK_OFFSET", offset.display().to_string());
        let spot_at = Arc::new(AtomicU64::new(0));
        let imds = variables.get_mut("AWS_EC2_METADATA_SERVICE_ENDPOINT").expect("set");
        let at = Arc::clone(&spot_at);
        let server = Server::before(imds, move |request| {
            let at = Time::from_unix_ms(at.load(Ordering::Relaxed));
            let asked = request.line().starts_with("GET /latest/meta-data/spot/instance-action");
            (asked && at.unix_ms() > 0)
                .then(|| ok(format!(r#"{{"action":"terminate","time":"{}"}}"#, whole_seconds(at))))
        })
        .await;
        imds.clone_from(&server.url);
        let play = Play { stage, variables, offset, spot_at, _imds: server };
        play.set_offset(offset_ms);
        play
    }

    /// Sets the system's clock. Replaces the file atomically, because the daemon may be reading it.
    fn set_offset(&self, offset_ms: i64) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, offset_ms.to_string()).expect("written");
        std::fs::rename(new, &self.offset).expect("renamed");
    }

    /// EC2 announces that it will interrupt the instance in `secs` seconds.
    fn interrupt_in(&self, secs: u64) -> Time {
        let at = Clock::start(None).now() + Duration::from_secs(secs);
        self.spot_at.store(at.unix_ms(), Ordering::Relaxed);
        at
    }
}

/// The format of an instant in IMDS.
fn whole_seconds(at: Time) -> String {
    format!("{}Z", &at.to_string()[..19])
}

fn work(items: u32, secs: u64, stuck: u32) -> Work {
    Work { items, duration: Duration::from_secs(secs), stuck }
}

/// The clock is six minutes fast, and is corrected. Then EC2 announces an interruption in two minutes. By the daemon's first
/// clock that instant has passed, but the agent gets its full time and drains.
#[tokio::test]
async fn fast_clock_corrected_before_a_spot_notice() {
    let mut play = Play::new(work(2, 3, 0), WRONG_MS).await;
    let daemon = Daemon::start(&play.variables).await;
    play.set_offset(0);
    let at = play.interrupt_in(120);
    play.stage.until("a POST", told).await;
    let deadline = play.stage.deadlines()[0];
    assert!(
        deadline <= at && at.since(deadline) < Duration::from_secs(15),
        "{deadline}, not just before {at}"
    );
    let ended = daemon.until_status("the end", |status| status.state == State::Ended).await;
    assert_eq!(ended.outcome, Some(Outcome::Drained), "{ended:?}");
    daemon.logged(&["WARN", "clock", "6m", "back"]).await;
}

/// The clock is six minutes fast, and is corrected during the drain. Times in the journal from the wrong clock are not taken
/// for the future. The drain continues to its end, and an extension counts from the correct time.
#[tokio::test]
async fn fast_clock_corrected_during_a_drain() {
    let mut play = Play::new(work(4, 8, 0), WRONG_MS).await;
    let daemon = Daemon::start(&play.variables).await;
    play.stage.scale_in();
    play.stage.until("work that is done", worked).await;
    play.set_offset(0);
    daemon.logged(&["WARN", "clock", "6m", "back"]).await;
    play.stage.until_times(2, "a POST of the new life", told).await;
    let restart = play.stage.service.clock().now();
    play.stage.until_ended_well(&[restart]).await;
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

/// The clock is six minutes slow. EC2 interrupts the instance in half a minute, and one work item never finishes. By the slow
/// clock there is plenty of time. After the correction, the drain ends at its deadline, before the interruption.
#[tokio::test]
async fn slow_clock_corrected_after_a_spot_notice() {
    let mut play = Play::new(work(2, 2, 1), -WRONG_MS).await;
    let daemon = Daemon::start(&play.variables).await;
    play.interrupt_in(30);
    play.stage.until("a POST", told).await;
    play.set_offset(0);
    daemon.logged(&["WARN", "clock", "6m", "ahead"]).await;
    let ended = daemon.until_status("the end", |status| status.state == State::Ended).await;
    assert_eq!(ended.outcome, Some(Outcome::Deadline), "{ended:?}");
}

/// The clock is set repeatedly while commands wait for their answers. Every command is answered.
#[tokio::test]
async fn clock_set_repeatedly() {
    let mut play = Play::new(work(2, 2, 1), 0).await;
    let mut daemon = Daemon::start(&play.variables).await;
    daemon.order(r#"{"command":"drain"}"#).await;
    play.stage.until("a POST", told).await;
    for minutes in 1..=8 {
        play.set_offset(minutes * 60_000);
        assert_eq!(daemon.status().await.state, State::Draining);
    }
    daemon.logged(&["WARN", "clock", "already restarted 3 times"]).await;
    assert!(daemon.runs());
    assert!(play.stage.count(|one| matches!(one, Happening::AgentReturned { .. })) == 0);
}
