//! Notices that are stale, forged, moved or withdrawn, and daemons that cannot receive any.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine::Time;
use machine::status::ImdsAnswers;
use sim::world::{Happening, ImdsMode, LifeCycle, Timing, WorldConfig};

use crate::support::daemon::{Daemon, Stage, completed, drained, told};
use crate::support::{Server, ok};
use crate::world;

const MAINTENANCE: &str = "GET /latest/meta-data/events/maintenance/scheduled";

/// IMDS has no target lifecycle state, and there is no queue. The daemon cannot learn of a termination, and logs that at
/// once. Regression: it logged nothing.
#[tokio::test]
async fn no_source_of_terminations() {
    let mut config = WorldConfig { queue: None, ..world(3, 30) };
    config.imds.mode = ImdsMode::WithoutTargetState;
    let stage = Stage::new(20, config).await;
    let daemon = stage.daemon().await;
    daemon.logged(&["ERROR", "imds_missing", "set queue.url"]).await;
    assert_ne!(daemon.status().await.imds, ImdsAnswers::Heard);
}

/// As above, but with a queue. The daemon learns of the termination from the queue.
#[tokio::test]
async fn queue_is_the_only_source_of_terminations() {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::WithoutTargetState;
    let mut stage = Stage::new(20, config).await;
    let daemon = stage.daemon().await;
    daemon.logged(&["WARN", "imds_missing", "polling the queue"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// The queue holds a spot interruption warning from 2017 that names this instance. IMDS answers and lists no interruption.
/// The group terminates the instance, and no work is cut off. Regression: the drain ended within seconds, with all work in
/// flight.
#[tokio::test]
async fn years_old_spot_warning() {
    let sent = Time::from_rfc3339("2017-09-18T08:20:00Z").expect("well-formed");
    spot_warning(LifeCycle::Spot, Some(sent), "that time has passed").await;
}

/// The same with a warning of this minute, and the instance is an on-demand instance.
#[tokio::test]
async fn spot_warning_for_an_on_demand_instance() {
    spot_warning(LifeCycle::OnDemand, None, "this is an on-demand instance").await;
}

/// The queue holds a spot interruption warning of this time, or of now, for an instance that is then terminated. Expects that the
/// warning is ignored for this reason.
async fn spot_warning(life_cycle: LifeCycle, sent: Option<Time>, why: &str) {
    let mut config = WorldConfig { life_cycle, ..world(3, 60) };
    // Until Wait, the daemon asks the queue and receives the warning.
    config.timing = Timing { wait: Duration::from_secs(20), ..config.timing };
    let mut stage = Stage::new(10, config).await;
    let daemon = stage.daemon().await;
    let sent = sent.unwrap_or_else(|| stage.service.clock().now());
    let warning = include_str!("../fixtures/messages/spot-terminate.json")
        .replace("i-0123456789abcdef0", &stage.instance())
        .replace("2026-03-01T12:00:00Z", &sent.to_string());
    let queue = stage.service.world(|world, _| world.config().queue.clone()).expect("a queue");
    stage
        .service
        .world(|world, now| world.send_message(now, &queue, warning, Duration::ZERO))
        .expect("SQS takes it");
    stage.scale_in();
    daemon.logged(&["notice_ignored", "spot_interruption", why]).await;
    stage.until("an end at which no work is lost", ended_without_loss).await;
    assert_eq!((stage.count(drained), stage.count(completed)), (1, 1));
    assert_eq!(stage.deadlines().len(), 1, "the deadline has not moved");
}

/// The group terminates the instance two minutes before scheduled maintenance, which EC2 then cancels. The agent is told of
/// both changes, and finishes its work. Regression: the drain ended at the time of the canceled maintenance.
#[tokio::test]
async fn maintenance_canceled_during_a_drain() {
    let mut stage = Stage::new(50, world(2, 600)).await;
    let mut variables = stage.variables(&stage.instance());
    let behind = variables.remove("AWS_EC2_METADATA_SERVICE_ENDPOINT").expect("set");
    let scheduled = Arc::new(Mutex::new("[]".to_owned()));
    let listed = Arc::clone(&scheduled);
    let imds = Server::before(&behind, move |request| {
        (request.line() == MAINTENANCE).then(|| ok(listed.lock().expect("not poisoned").as_str()))
    })
    .await;
    variables.insert("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url.clone());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("a POST", told).await;
    let soon = stage.service.world(|_, now| now) + Duration::from_secs(300);
    *scheduled.lock().expect("not poisoned") = event(soon);
    stage.until_times(2, "an earlier deadline", told).await;
    daemon.logged(&["notice_appeared", "scheduled maintenance", "instance-event-1"]).await;
    *scheduled.lock().expect("not poisoned") = "[]".to_owned();
    stage.until_times(3, "the agent's whole time", told).await;
    daemon.logged(&["notice_withdrawn", "scheduled maintenance"]).await;
    stage.until("an end at which no work is lost", ended_without_loss).await;
    assert_eq!((stage.count(drained), stage.count(completed)), (1, 1));
    let deadlines = stage.deadlines();
    assert!(deadlines[1] < deadlines[0] && deadlines[2] == deadlines[0], "{deadlines:?}");
}

/// The invariants do not cover deleted warnings, or maintenance that moves a deadline.
fn ended_without_loss(happening: &Happening) -> bool {
    matches!(happening, Happening::InstanceTerminated { work_lost: 0, .. })
}

/// The document in IMDS for maintenance at that time.
fn event(at: Time) -> String {
    format!(
        r#"[{{"NotBefore":"{at}","Code":"instance-stop","EventId":"instance-event-1","State":"active"}}]"#
    )
}
