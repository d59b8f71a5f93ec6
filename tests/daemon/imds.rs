//! The instance metadata service is silent at times, or contradicts the configuration.

use std::time::Duration;

use machine::notice::Reason;
use machine::status::{ImdsAnswers, State};
use sim::world::{Happening, ImdsMode, LifeCycle, WorldConfig};
use tokio::process::Command;

use crate::support::daemon::{Daemon, Stage, eventually, told, worked};
use crate::support::{Server, ok};
use crate::world;

#[tokio::test]
async fn silence_at_start() {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::Refuses;
    let mut stage = Stage::new(20, config).await;
    let mut variables = stage.variables(&stage.instance());
    // Each try notifies the watchdog.
    variables.insert("WATCHDOG_USEC", "60000000".to_owned());
    let script = format!("WATCHDOG_PID=$$ exec '{}' run", env!("CARGO_BIN_EXE_drainhook"));
    let mut daemon = Daemon::spawn_as(Command::new("/bin/sh").args(["-c", &script]), &variables);
    daemon.told("READY=1").await;
    for _ in 0..4 {
        daemon.told("WATCHDOG=1").await;
    }
    assert!(!daemon.told.iter().any(|told| told.starts_with("STATUS=")), "{:?}", daemon.told);
    set(&stage, ImdsMode::Answers);
    daemon.told("STATUS=serving").await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// The daemon is told to stop before IMDS has named the instance. It stops. Before that, it has warned of a mistake in the
/// configuration.
#[tokio::test]
async fn stop_while_imds_is_silent() {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::Hangs;
    let stage = Stage::new(20, config).await;
    let mut variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "1h".to_owned());
    let mut daemon = Daemon::spawn(&variables);
    daemon.told("READY=1").await;
    daemon.logged(&["WARN", "agent.unreachable_grace", "never takes effect"]).await;
    daemon.terminate();
    daemon.told("STOPPING=1").await;
    assert!(daemon.exit().await.success());
}

#[tokio::test]
async fn silence_in_service() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let daemon = stage.daemon().await;
    set(&stage, ImdsMode::Hangs);
    daemon.logged(&["WARN", "imds_silent"]).await;
    assert_ne!(daemon.status().await.imds, ImdsAnswers::Heard);
    set(&stage, ImdsMode::Answers);
    daemon.logged(&["imds_heard"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// All tokens have expired by IMDS's clock, but not by the daemon's. The daemon gets a new one.
#[tokio::test]
async fn expired_token() {
    let mut stage = Stage::new(1, world(3, 30)).await;
    let _daemon = stage.daemon().await;
    let instance = stage.instance();
    stage.service.world(|world, now| {
        let later = now + Duration::from_secs(7 * 3600);
        world.advance(later);
        world.set_target_state(later, &instance, "Terminated");
    });
    stage.until("a POST", told).await;
}

/// IMDS comes and goes during a drain. It also serves the credentials, which the daemon fetches while IMDS answers, and keeps.
#[tokio::test]
async fn flapping_during_a_drain() {
    const MODES: [ImdsMode; 8] = [
        ImdsMode::Refuses,
        ImdsMode::Answers,
        ImdsMode::Hangs,
        ImdsMode::Answers,
        ImdsMode::Disabled,
        ImdsMode::WithoutTargetState,
        ImdsMode::Answers,
        ImdsMode::Refuses,
    ];
    let config = WorldConfig { queue: Some("termination".to_owned()), ..world(10, 100) };
    let mut stage = Stage::new(10, config).await;
    let _daemon = stage.daemon().await;
    stage.scale_in();
    for (index, mode) in MODES.into_iter().enumerate() {
        stage.until_times(index + 1, "work that is done", worked).await;
        set(&stage, mode);
    }
    stage.until_ended_well(&[]).await;
    assert_eq!(stage.count(told), 1, "{:#?}", stage.history);
}

/// The target state in IMDS moves the instance to standby, and back into service. The configuration says to drain then.
#[tokio::test]
async fn standby_and_back() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let _daemon = stage.daemon_with(&[("DRAINHOOK_LIFECYCLE__ON_STANDBY", "drain")]).await;
    let instance = stage.instance();
    let target = |stage: &Stage, state| {
        stage.service.world(|world, now| world.set_target_state(now, &instance, state));
    };
    target(&stage, "Standby");
    let for_standby = |one: &Happening| match one {
        Happening::AgentDrainRequested { reason, .. } => reason == "standby",
        _ => false,
    };
    stage.until("a POST", for_standby).await;
    target(&stage, "InService");
    stage.until("a DELETE", |one| matches!(one, Happening::AgentReturned { .. })).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// The instance goes into standby, and is terminated from there. By default its agent is drained only for the termination.
#[tokio::test]
async fn ignored_standby() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let daemon = stage.daemon().await;
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_target_state(now, &instance, "Standby"));
    daemon.logged(&["notice_appeared", "going into standby"]).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    let reasons = stage.history.iter().filter_map(|(_, one)| match one {
        Happening::AgentDrainRequested { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert!(reasons.eq(["autoscaling_termination"]), "{:#?}", stage.history);
}

fn set(stage: &Stage, mode: ImdsMode) {
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_imds_mode(now, &instance, mode));
}

/// EC2 recommends a rebalance. Without Capacity Rebalancing, Auto Scaling does not replace the instance, so the daemon drains
/// only if the configuration says so.
#[tokio::test]
async fn rebalance_recommendation() {
    const PATH: &str = "GET /latest/meta-data/events/recommendations/rebalance";
    for (settings, drains) in [(None, false), (Some("drain"), true)] {
        let stage = Stage::new(20, WorldConfig { life_cycle: LifeCycle::Spot, ..world(3, 30) }).await;
        let mut variables = stage.variables(&stage.instance());
        let behind = variables.remove("AWS_EC2_METADATA_SERVICE_ENDPOINT").expect("set");
        let imds = Server::before(&behind, |request| {
            (request.line() == PATH).then(|| ok(r#"{"noticeTime":"2026-03-01T12:00:00Z"}"#))
        })
        .await;
        variables.insert("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url.clone());
        variables.extend(settings.map(|drain| ("DRAINHOOK_LIFECYCLE__ON_REBALANCE", drain.to_owned())));
        let daemon = Daemon::start(&variables).await;
        if drains {
            daemon
                .until_status("the drain", |status| status.reason == Some(Reason::RebalanceRecommendation))
                .await;
        } else {
            // By the third response, the daemon has handled the first one.
            eventually("three answers", || imds.count(|request| request.line() == PATH) >= 3).await;
            assert_eq!(daemon.status().await.state, State::Serving);
        }
    }
}
/// `instance.id` was baked into an image, and names the instance that the image was made from. The daemon believes IMDS, and
/// logs an error that says what to do.
#[tokio::test]
async fn imds_contradicts_the_configured_id() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_INSTANCE__ID", OTHER)]).await;
    daemon.logged(&["ERROR", "instance.id", OTHER, &stage.instance(), "remove instance.id"]).await;
    assert_eq!(daemon.status().await.instance_id, stage.instance());
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// As above, but IMDS answers only later. The daemon starts with the wrong instance id, and corrects it.
#[tokio::test]
async fn imds_contradicts_the_configured_id_later() {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::Refuses;
    let mut stage = Stage::new(20, config).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_INSTANCE__ID", OTHER)]).await;
    daemon.logged(&["WARN", "IMDS does not answer", "instance.id", OTHER]).await;
    assert_eq!(daemon.status().await.instance_id, OTHER);
    set(&stage, ImdsMode::Answers);
    daemon.logged(&["ERROR", "instance.id", OTHER, &stage.instance(), "remove instance.id"]).await;
    let instance = stage.instance();
    daemon.until_status("the right instance", |status| status.instance_id == instance).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// `instance.id` is right, and IMDS answers only later. The daemon then learns the group too.
#[tokio::test]
async fn imds_names_the_group_later() {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::Refuses;
    let mut stage = Stage::new(20, config).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_INSTANCE__ID", &stage.instance())]).await;
    daemon.logged(&["WARN", "IMDS does not answer", "instance.id"]).await;
    assert_eq!(daemon.status().await.group, None);
    set(&stage, ImdsMode::Answers);
    daemon.until_status("the group", |status| status.group.is_some()).await;
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// The task that polls IMDS panics. The panic is logged, and the task is restarted and sees a later notice.
#[tokio::test]
async fn poller_panics() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let mut variables = stage.variables(&stage.instance());
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "PANIC imds\n").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["ERROR", "imds", "panicked", "restarting it"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

const OTHER: &str = "i-00000000000000bad";
