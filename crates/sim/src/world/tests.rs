use std::time::Duration;

use super::*;

const START: Time = Time::from_unix_ms(1_764_000_000_000);
const NO_ACTION: &str = "No active Lifecycle Action found with ";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn world(config: WorldConfig) -> (World, String) {
    let world = World::new(config, START);
    let id = world.instances()[0].id.clone();
    (world, id)
}

fn by_instance(id: &str) -> ActionRef {
    ActionRef { hook: "drain".into(), group: "workers".into(), token: None, instance: Some(id.into()) }
}

/// Scales in at `START`; Wait begins 2.3 s later.
fn scaled_in(config: WorldConfig) -> (World, String, Time) {
    let (mut world, id) = world(config);
    world.terminate_instance(START, &id, true).expect("the group may shrink to zero");
    let wait = START + Duration::from_millis(2300);
    world.advance(wait);
    assert_eq!(state(&world, &id), LifecycleState::TerminatingWait);
    (world, id, wait)
}

fn state(world: &World, id: &str) -> LifecycleState {
    world.instance(id).expect("known").state
}

fn why(result: Result<(), ApiError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn scale_in_without_load_balancer() {
    let (mut world, id) = world(WorldConfig::default());
    world.set_desired_capacity(START, "workers", 0).expect("valid");
    assert_eq!(state(&world, &id), LifecycleState::InService);
    world.advance(START + Duration::from_millis(300));
    assert_eq!(state(&world, &id), LifecycleState::Terminating);
    assert_eq!(world.instance(&id).expect("known").imds_target, "Terminated");
    let wait = START + Duration::from_millis(2300);
    world.advance(wait);
    assert_eq!(state(&world, &id), LifecycleState::TerminatingWait);
    world.complete(wait, &by_instance(&id), ActionResult::Continue).expect("open");
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
    world.advance(wait + secs(5));
    assert_eq!(state(&world, &id), LifecycleState::Terminated);
    assert!(world.describe_instances(wait + secs(5), &[id]).expect("admitted").is_empty());
}

#[test]
fn load_balancer_drains_before_wait() {
    let config = WorldConfig { load_balancer_drain: Some(secs(60)), ..WorldConfig::default() };
    let (mut world, id) = world(config);
    world.set_desired_capacity(START, "workers", 0).expect("valid");
    world.advance(START + secs(60));
    assert_eq!(state(&world, &id), LifecycleState::Terminating);
    assert_eq!(world.instance(&id).expect("known").imds_target, "Terminated", "IMDS leads Wait");
    let early = world.heartbeat(START + secs(60), &by_instance(&id));
    assert_eq!(why(early), format!("ValidationError: {NO_ACTION}instance ID {id}"));
    world.advance(START + secs(63));
    assert_eq!(state(&world, &id), LifecycleState::TerminatingWait);
}

#[test]
fn heartbeat_resets_expiry() {
    let (mut world, id, wait) = scaled_in(WorldConfig::default());
    world.heartbeat(wait + secs(200), &by_instance(&id)).expect("open");
    assert_eq!(world.instance(&id).expect("known").actions[0].expires, wait + secs(500));
    world.advance(wait + secs(499));
    assert_eq!(state(&world, &id), LifecycleState::TerminatingWait);
    world.advance(wait + secs(500));
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
    assert!(world.heartbeat(wait + secs(500), &by_instance(&id)).is_err());
}

#[test]
fn second_completion() {
    let (mut world, id, wait) = scaled_in(WorldConfig::default());
    let token = world.instance(&id).expect("known").actions[0].token.clone();
    let by_token = ActionRef { token: Some(token.clone()), instance: None, ..by_instance(&id) };
    world.complete(wait, &by_token, ActionResult::Continue).expect("open");
    let again = world.complete(wait, &by_token, ActionResult::Continue);
    assert_eq!(why(again), format!("ValidationError: {NO_ACTION}token {token}"));
    let again = world.complete(wait, &by_instance(&id), ActionResult::Continue);
    assert_eq!(why(again), format!("ValidationError: {NO_ACTION}instance ID {id}"));
    let completed = |(_, one): &(Time, Happening)| matches!(one, Happening::Completed { .. });
    assert_eq!(world.take_happenings().iter().filter(|one| completed(one)).count(), 1);
}

#[test]
fn token_of_another_instance() {
    let (mut world, id, wait) = scaled_in(WorldConfig { instances: 2, ..WorldConfig::default() });
    let other = world.instances().into_iter().find(|one| one.id != id).expect("two").id;
    let token = world.instance(&id).expect("known").actions[0].token.clone();
    let mixed = ActionRef { token: Some(token), ..by_instance(&other) };
    assert!(why(world.heartbeat(wait, &mixed)).contains(NO_ACTION));
    let short = ActionRef { token: Some("short".into()), ..by_instance(&id) };
    assert!(why(world.heartbeat(wait, &short)).contains("length greater than or equal to 36"));
    let lost = ActionRef { group: "lost".into(), ..by_instance(&id) };
    assert!(why(world.heartbeat(wait, &lost)).ends_with("AutoScalingGroup 'lost' not found"));
}

#[test]
fn global_timeout() {
    let hooks = vec![HookSpec::terminating("drain", secs(30))];
    let (mut world, id, wait) = scaled_in(WorldConfig { hooks, ..WorldConfig::default() });
    for second in (20..3000).step_by(20) {
        world.heartbeat(wait + secs(second), &by_instance(&id)).expect("kept alive");
    }
    assert_eq!(world.instance(&id).expect("known").actions[0].expires, wait + secs(3000));
    world.advance(wait + secs(3000));
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
    let global = |(_, one): &(Time, Happening)| matches!(one, Happening::ActionExpired { global: true, .. });
    assert!(world.take_happenings().iter().any(global));
}

#[test]
fn default_abandon_under_retention() {
    let config = WorldConfig { retain_on_abandon: true, ..WorldConfig::default() };
    let (mut world, id, wait) = scaled_in(config);
    world.advance(wait + secs(300));
    assert_eq!(state(&world, &id), LifecycleState::TerminatingRetained);
    let first = world.take_happenings();
    assert!(world.terminate_instance(wait + secs(400), &id, true).is_err(), "decrement is rejected");
    world.terminate_instance(wait + secs(400), &id, false).expect("released");
    world.advance(wait + secs(403));
    let token = world.instance(&id).expect("known").actions[0].token.clone();
    let old = |(_, one): &(Time, Happening)| matches!(one, Happening::WaitBegan { token: old, .. } if *old == token);
    assert!(!first.iter().any(old), "the release starts a new action");
    world.complete(wait + secs(403), &by_instance(&id), ActionResult::Continue).expect("open");
    world.advance(wait + secs(410));
    assert_eq!(state(&world, &id), LifecycleState::Terminated);
}

#[test]
fn concurrent_hooks_form_a_barrier() {
    let hooks = ["drain", "logs"].map(|name| HookSpec::terminating(name, secs(300))).to_vec();
    let (mut world, id, wait) = scaled_in(WorldConfig { hooks, ..WorldConfig::default() });
    assert_eq!(world.instance(&id).expect("known").actions.len(), 2);
    world.complete(wait, &by_instance(&id), ActionResult::Continue).expect("open");
    assert_eq!(state(&world, &id), LifecycleState::TerminatingWait);
    let logs = ActionRef { hook: "logs".into(), ..by_instance(&id) };
    world.complete(wait, &logs, ActionResult::Continue).expect("open");
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
}

#[test]
fn chained_hooks_and_abandon() {
    let hooks = ["drain", "logs"].map(|name| HookSpec::terminating(name, secs(300))).to_vec();
    let config = WorldConfig { hooks, hook_order: HookOrder::Chained, ..WorldConfig::default() };
    let (mut world, id, wait) = scaled_in(config);
    let logs = ActionRef { hook: "logs".into(), ..by_instance(&id) };
    assert!(world.heartbeat(wait, &logs).is_err(), "its hook has not started");
    world.complete(wait, &by_instance(&id), ActionResult::Continue).expect("open");
    world.complete(wait, &logs, ActionResult::Abandon).expect("open");
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
}

#[test]
fn deleted_hook_continues() {
    let config = WorldConfig { retain_on_abandon: true, ..WorldConfig::default() };
    let (mut world, id, wait) = scaled_in(config);
    world.delete_hook(wait, "workers", "drain").expect("exists");
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
    assert!(world.describe_hooks(wait, "workers", &[]).expect("admitted").is_empty());
}

#[test]
fn event_reaches_the_queue() {
    let (mut world, id, wait) = scaled_in(WorldConfig::default());
    let queue = "workers-termination";
    assert!(world.receive(wait, queue, 10, None, None).expect("exists").is_empty(), "not yet delivered");
    let received = world.receive(wait + secs(3), queue, 10, None, Some(&id)).expect("exists");
    let body: serde_json::Value = serde_json::from_str(&received[0].body).expect("JSON");
    assert_eq!(body["detail-type"], "EC2 Instance-terminate Lifecycle Action");
    assert_eq!(body["detail"]["EC2InstanceId"], id);
    assert_eq!(body["detail"]["LifecycleActionToken"], world.instance(&id).expect("known").actions[0].token);
    assert_eq!(body["detail"].get("NotificationMetadata"), None);
}

#[test]
fn visibility_and_stale_receipts() {
    let (mut world, _) = world(WorldConfig::default());
    let queue = "workers-termination";
    world.send_message(START, queue, "hello".into(), Duration::ZERO).expect("exists");
    let first = world.receive(START, queue, 10, Some(secs(30)), None).expect("exists").remove(0);
    assert!(world.receive(START + secs(29), queue, 10, None, None).expect("exists").is_empty());
    world
        .change_visibility(START + secs(30), queue, &first.receipt, secs(9))
        .expect("a stale handle changes nothing");
    let second = world.receive(START + secs(30), queue, 10, Some(secs(30)), None).expect("exists").remove(0);
    assert_eq!((second.receive_count, &second.id), (2, &first.id));
    world.delete_message(START + secs(31), queue, &first.receipt).expect("a stale handle succeeds");
    assert!(world.change_visibility(START + secs(31), queue, &first.receipt, secs(5)).is_err());
    world.change_visibility(START + secs(31), queue, &second.receipt, secs(100)).expect("in flight");
    assert!(world.receive(START + secs(130), queue, 10, None, None).expect("exists").is_empty());
    let third = world.receive(START + secs(131), queue, 10, None, None).expect("exists").remove(0);
    world.delete_message(START + secs(131), queue, &third.receipt).expect("current");
    assert!(world.receive(START + secs(999), queue, 10, None, None).expect("exists").is_empty());
    let forged = world.delete_message(START + secs(999), queue, "AQEBforged");
    assert!(why(forged).starts_with("ReceiptHandleIsInvalid"));
}

#[test]
fn message_returned_at_once() {
    let (mut world, _) = world(WorldConfig::default());
    let queue = "workers-termination";
    world.send_message(START, queue, "hello".into(), Duration::ZERO).expect("exists");
    let first = world.receive(START, queue, 1, None, None).expect("exists").remove(0);
    world.change_visibility(START, queue, &first.receipt, Duration::ZERO).expect("in flight");
    assert_eq!(world.receive(START, queue, 1, None, None).expect("exists").len(), 1);
    let too_long = world.receive(START, queue, 1, Some(secs(43_201)), None);
    assert!(too_long.is_err());
}

#[test]
fn lost_and_duplicated_events() {
    for (loss, duplication, arrive) in [(1.0, 0.0, 0), (0.0, 1.0, 2)] {
        let delivery = Delivery { loss, duplication, ..Delivery::default() };
        let (mut world, _, wait) = scaled_in(WorldConfig { delivery, ..WorldConfig::default() });
        let received = world.receive(wait + secs(3), "workers-termination", 10, None, None).expect("exists");
        assert_eq!(received.len(), arrive);
    }
}

#[test]
fn direct_notification() {
    let (mut world, id) = world(WorldConfig::default());
    let mut hook = HookSpec::terminating("drain", secs(300));
    hook.target = Some("arn:aws:sqs:eu-west-1:123456789012:direct".into());
    hook.role = Some("arn:aws:iam::123456789012:role/hooks".into());
    let missing = world.put_hook(START, "workers", hook.clone());
    assert!(why(missing).contains("Unable to publish test message"));
    world.create_queue(START, QueueSpec::named("direct")).expect("valid");
    world.put_hook(START, "workers", hook).expect("valid");
    world.set_desired_capacity(START, "workers", 0).expect("valid");
    let bodies: Vec<serde_json::Value> = world
        .receive(START + secs(10), "direct", 10, None, None)
        .expect("exists")
        .iter()
        .map(|message| serde_json::from_str(&message.body).expect("JSON"))
        .collect();
    assert_eq!(bodies[0]["Event"], "autoscaling:TEST_NOTIFICATION");
    assert_eq!(bodies[1]["EC2InstanceId"], id);
    assert_eq!(bodies[1]["Origin"], "AutoScalingGroup");
}

#[test]
fn deleted_target_takes_the_default() {
    let (mut world, id) = world(WorldConfig::default());
    world.create_queue(START, QueueSpec::named("direct")).expect("valid");
    let mut hook = HookSpec::terminating("drain", secs(300));
    hook.target = Some("arn:aws:sqs:eu-west-1:123456789012:direct".into());
    hook.role = Some("arn:aws:iam::123456789012:role/hooks".into());
    world.put_hook(START, "workers", hook).expect("valid");
    world.delete_queue(START, "direct").expect("exists");
    world.set_desired_capacity(START, "workers", 0).expect("valid");
    world.advance(START + secs(3));
    assert_eq!(state(&world, &id), LifecycleState::TerminatingProceed);
}

#[test]
fn imds_token_life() {
    let (mut world, id) = world(WorldConfig::default());
    let path = "/latest/meta-data/autoscaling/target-lifecycle-state";
    for bad in [None, Some("-1"), Some("21601"), Some("soon")] {
        assert_eq!(world.imds_token(START, &id, bad).status, 400, "{bad:?}");
    }
    let token = world.imds_token(START, &id, Some("60")).body;
    let answer = world.imds_get(START + secs(59), &id, Some(&token), path);
    assert_eq!((answer.status, answer.body.as_str(), answer.token_ttl), (200, "InService", Some(1)));
    assert_eq!(world.imds_get(START + secs(60), &id, Some(&token), path).status, 401);
    assert_eq!(world.imds_get(START + secs(60), &id, None, path).status, 401);
    let token = world.imds_token(START + secs(60), &id, Some("60")).body;
    assert_eq!(
        world.imds_get(START + secs(60), &id, Some(&token), "/latest/meta-data/spot/instance-action").status,
        404
    );
    let group = "/latest/meta-data/tags/instance/aws:autoscaling:groupName";
    assert_eq!(world.imds_get(START + secs(60), &id, Some(&token), group).body, "workers");
    for life_cycle in [LifeCycle::OnDemand, LifeCycle::Spot] {
        world.set_life_cycle(&id, life_cycle);
        let path = "/latest/meta-data/instance-life-cycle";
        assert_eq!(world.imds_get(START + secs(60), &id, Some(&token), path).body, life_cycle.as_str());
    }
}

#[test]
fn credentials_rotate_and_expire() {
    let mut config = WorldConfig::default();
    config.imds.credentials_last = Some(secs(100));
    let (mut world, id) = world(config);
    let key = |world: &mut World, id: &str, at| {
        let token = world.imds_token(at, id, Some("60")).body;
        let path = format!("/latest/meta-data/iam/security-credentials/{}", super::role::ROLE);
        let answer = world.imds_get(at, id, Some(&token), &path);
        let credentials: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        credentials["AccessKeyId"].as_str().expect("a text").to_owned()
    };
    let first = key(&mut world, &id, START);
    assert_eq!(key(&mut world, &id, START + secs(49)), first);
    let second = key(&mut world, &id, START + secs(50));
    assert_ne!(second, first);
    assert_eq!(world.check_access_key(START + secs(99), &first), Ok(()));
    assert!(why(world.check_access_key(START + secs(100), &first)).starts_with("ExpiredToken: "));
    assert_eq!(world.check_access_key(START + secs(100), &second), Ok(()));
    assert_eq!(world.check_access_key(START + secs(100), "AKIASOMEBODYS"), Ok(()));
    let (mut world, id) = self::world(WorldConfig::default());
    let first = key(&mut world, &id, START);
    assert_eq!(key(&mut world, &id, START + secs(100_000)), first);
    assert_eq!(world.check_access_key(START + secs(100_000), &first), Ok(()));
}

/// If events leave the world, each kind goes to the target that AWS would use, and none arrives inside.
#[test]
fn events_sent_outside() {
    let target = "arn:aws:sns:eu-west-1:123456789012:topic".to_owned();
    let hook = HookSpec { target: Some(target.clone()), ..HookSpec::terminating("drain", secs(300)) };
    let mut config = WorldConfig { hooks: vec![hook], ..WorldConfig::default() };
    config.delivery.outside = true;
    let (mut world, id, wait) = scaled_in(config);
    let [notification, event] = world.take_outgoing().try_into().expect("two");
    assert_eq!((notification.target, event.target), (Some(target), None));
    assert!(notification.body.contains("\"Service\":\"AWS Auto Scaling\""), "{}", notification.body);
    assert!(
        event.body.contains("\"detail-type\":\"EC2 Instance-terminate Lifecycle Action\""),
        "{}",
        event.body
    );
    assert!(notification.body.contains(&id) && event.body.contains(&id));
    let received = world.receive(wait + secs(60), "workers-termination", 10, None, None);
    assert_eq!(received, Ok(Vec::new()));
}

#[test]
fn drain_finishes_work_one_by_one() {
    let work = Work { items: 3, duration: secs(60), stuck: 0 };
    let (mut world, id) = world(WorldConfig { work, ..WorldConfig::default() });
    let order = format!(
        r#"{{"reason":"autoscaling_termination","deadline":"{}","instance_id":"{id}","notice":"going"}}"#,
        START + secs(3600)
    );
    assert_eq!(world.agent_post(START + secs(40), &id, order.as_bytes()).body["in_flight"], 3);
    for (second, state, in_flight) in [
        (59, "draining", 3),
        (60, "draining", 2),
        (80, "draining", 1),
        (99, "draining", 1),
        (100, "drained", 0),
    ] {
        let status = world.agent_get(START + secs(second), &id).body;
        assert_eq!((status["state"].as_str(), status["in_flight"].as_u64()), (Some(state), Some(in_flight)));
    }
    assert_eq!(world.instance(&id).expect("known").agent.finished, 5);
    assert_eq!(world.agent_delete(START + secs(100), &id).body["state"], "serving");
}

/// The agent works for a minute and rests for a minute, in turns.
#[test]
fn agent_with_a_rhythm() {
    let rhythm = Some(Rhythm { busy: secs(60), idle: secs(60) });
    let work = Work { items: 3, duration: secs(30), stuck: 0 };
    let (mut world, id) = world(WorldConfig { work, rhythm, ..WorldConfig::default() });
    let mut in_flight = |second| world.agent_get(START + secs(second), &id).body["in_flight"].as_u64();
    let busy: Vec<bool> = (0..240).map(|second| in_flight(second) == Some(3)).collect();
    let changes: Vec<usize> = (1..240).filter(|second| busy[*second] != busy[second - 1]).collect();
    assert_eq!(changes, [60, 120, 180], "{busy:?}");
    assert_eq!(world.instance(&id).expect("known").agent.finished, 12, "two minutes of work");
    world.rest_agents(START + secs(240));
    assert_eq!(world.agent_get(START + secs(241), &id).body["in_flight"], 0);
    let order = br#"{"reason":"operator","deadline":null}"#;
    assert_eq!(world.agent_post(START + secs(242), &id, order).body["state"], "drained");
}

#[test]
fn returned_agent_forgets_its_old_drain() {
    let (mut world, id) = world(WorldConfig::default());
    let order = br#"{"reason":"operator","deadline":null}"#;
    world.agent_post(START, &id, order);
    world.agent_delete(START + secs(19), &id);
    world.agent_post(START + secs(19), &id, order);
    assert_eq!(world.agent_get(START + secs(20), &id).body["in_flight"], 3);
    assert_eq!(world.agent_get(START + secs(39), &id).body["in_flight"], 2);
}

#[test]
fn agent_refuses_malformed_requests() {
    let (mut world, id) = world(WorldConfig::default());
    for bad in [
        "",
        "[]",
        r#"{"reason":"because","deadline":null}"#,
        r#"{"reason":"operator","deadline":"soon"}"#,
        r#"{"reason":"operator","deadline":5}"#,
        r#"{"reason":"operator","deadline":null,"instance_id":"i-other"}"#,
    ] {
        assert_eq!(world.agent_post(START, &id, bad.as_bytes()).status, 400, "{bad}");
    }
    assert_eq!(world.agent_get(START, &id).body["state"], "serving");
}

#[test]
fn stuck_work_is_lost_with_the_instance() {
    let work = Work { items: 3, duration: secs(30), stuck: 1 };
    let (mut world, id, wait) = scaled_in(WorldConfig { work, ..WorldConfig::default() });
    world.agent_post(wait, &id, br#"{"reason":"operator","deadline":null}"#);
    world.advance(wait + secs(400));
    let agent = world.instance(&id).expect("known").agent;
    assert_eq!((agent.in_flight, agent.lost), (0, 1));
}

#[test]
fn replacement_without_decrement() {
    let (mut world, id) = world(WorldConfig::default());
    world.terminate_instance(START, &id, false).expect("known");
    world.advance(START + secs(1));
    let running = world.instances();
    assert_eq!(running.len(), 2);
    assert_eq!(running[1].state, LifecycleState::InService);
}

#[test]
fn launching_hook() {
    let mut hook = HookSpec::terminating("boot", secs(300));
    hook.transition = Transition::Launching;
    let hooks = vec![hook];
    let (mut world, _) = world(WorldConfig { hooks, ..WorldConfig::default() });
    world.set_desired_capacity(START, "workers", 2).expect("valid");
    world.advance(START + secs(1));
    let launched = world.instances()[1].id.clone();
    assert_eq!(state(&world, &launched), LifecycleState::PendingWait);
    let boot = ActionRef { hook: "boot".into(), ..by_instance(&launched) };
    world.complete(START + secs(1), &boot, ActionResult::Continue).expect("open");
    world.advance(START + secs(2));
    assert_eq!(state(&world, &launched), LifecycleState::InService);
}

#[test]
fn throttled_calls() {
    let throttle = Some(Throttle { burst: 2, per_second: 1.0 });
    let (mut world, id) = world(WorldConfig { throttle, ..WorldConfig::default() });
    let ids = [id];
    assert!(world.describe_instances(START, &ids).is_ok());
    assert!(world.describe_instances(START, &ids).is_ok());
    let error = world.describe_instances(START, &ids).expect_err("the bucket is empty");
    assert_eq!((error.status, error.to_string().as_str()), (400, "Throttling: Rate exceeded"));
    assert!(world.describe_instances(START + secs(1), &ids).is_ok());
}

#[test]
fn hook_limits() {
    let (mut world, _) = world(WorldConfig::default());
    for (name, seconds) in [("drain", 29), ("drain", 7201), ("two words", 300), ("", 300)] {
        assert!(world.put_hook(START, "workers", HookSpec::terminating(name, secs(seconds))).is_err());
    }
    assert_eq!(HookSpec::terminating("drain", secs(7200)).global_timeout(), secs(172_800));
}

#[test]
fn whole_group_at_once() {
    let (mut world, _) = world(WorldConfig { instances: 5000, ..WorldConfig::default() });
    world.set_desired_capacity(START, "workers", 0).expect("valid");
    // One large step. Everything in between still happens in order and at its own time.
    world.advance(START + secs(1000));
    let happenings = world.take_happenings();
    assert!(happenings.iter().is_sorted_by_key(|(at, _)| *at));
    let expired = |(_, one): &&(Time, Happening)| matches!(one, Happening::ActionExpired { .. });
    assert_eq!(happenings.iter().filter(expired).count(), 5000);
    assert!(world.instances().is_empty());
}

#[test]
fn same_seed_same_world() {
    let history = |seed| {
        let (mut world, _, wait) = scaled_in(WorldConfig { seed, instances: 20, ..WorldConfig::default() });
        world.set_desired_capacity(wait, "workers", 0).expect("valid");
        world.advance(wait + secs(1000));
        world.take_happenings()
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}
