//! Fifty daemon processes on one queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sim::world::{HookSpec, ImdsMode, WorldConfig};

use crate::cloud::{Cloud, Queue, in_cloud};
use crate::support::daemon::{Daemon, Stage, Variables, completed, eventually, in_time};
use crate::support::world::world;
use crate::support::{Request, Server};
use crate::{held_world, is};

const FLEET: usize = 50;

/// The numbers of instances in successive scale-ins. The group has their sum, which is more than [`FLEET`].
const SCALE_INS: [usize; 3] = [1, 10, FLEET];

/// LocalStack is slow with this many daemons. If all of them poll the queue, a message passes through random daemons
/// until it reaches its own. That mostly takes less than two minutes, but sometimes many more.
const FLEET_PATIENCE: Duration = Duration::from_secs(1200);
/// Longer than [`FLEET_PATIENCE`], so that no action expires.
const HOOK_TIMEOUT: Duration = Duration::from_secs(3600);

/// Messages on the queue that are for no instance in the fleet.
const FOREIGN: usize = 20;
const GARBAGE: [&str; 5] = ["not JSON", "{}", "[]", "{\"detail\":{}}", "{\"Type\":\"Notification\"}"];

/// How long the test observes the idle fleet, unless the variable `IDLE_SECONDS` is set.
const IDLE_SECONDS: u64 = 20;
const LONG_POLL_SECONDS: usize = 20;

/// An instance of the fleet.
struct Member {
    instance: String,
    daemon: Daemon,
}

/// Starts a daemon for each instance. The daemons reach the queue through `proxy`.
async fn fleet(stage: &Stage, proxy: &Server, variables: impl Fn(&str) -> Variables) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for instance in stage.instances() {
        let mut variables = variables(&instance);
        variables.insert("AWS_ENDPOINT_URL_SQS", proxy.url.clone());
        members.push(Member { daemon: Daemon::spawn(&variables), instance });
    }
    for member in &mut members {
        member.daemon.told("STATUS=").await;
    }
    members
}

fn receives(proxy: &Server) -> usize {
    proxy.count(|one| is(one, "ReceiveMessage"))
}

fn deletes(proxy: &Server) -> usize {
    proxy.count(|one| is(one, "DeleteMessage"))
}

/// Scale-ins of one, ten and fifty instances, with foreign messages on the queue and every event delivered twice.
/// Compares the number of receives with that on the simulator's queue.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn scale_in() {
    let predicted = with_the_simulators_queue().await;
    in_cloud(move |cloud| async move {
        let measured = with_a_real_queue(cloud, ImdsMode::Answers, &SCALE_INS).await;
        for ((count, predicted), measured) in SCALE_INS.iter().zip(predicted).zip(measured) {
            eprintln!(
                "{count} terminated: {measured:.1} receives each, {predicted:.1} with the simulator's queue"
            );
            assert!(measured <= 3.0 * predicted + 3.0, "{count}: {measured} and {predicted}");
        }
    })
    .await;
}

async fn with_the_simulators_queue() -> Vec<f64> {
    let mut config = WorldConfig { instances: instances(), ..held_world() };
    config.delivery.duplication = 1.0;
    let mut stage = Stage::new(1, config).await;
    let proxy = Server::before(stage.service.aws_url(), |_| None).await;
    let fleet = fleet(&stage, &proxy, |instance| stage.variables(instance)).await;
    for body in strangers("workers") {
        let sent = stage
            .service
            .world(|world, now| world.send_message(now, "workers-termination", body, Duration::ZERO));
        sent.expect("the queue exists");
    }
    take_all_away(&mut stage, fleet, &proxy, &SCALE_INS).await
}

/// If IMDS has no target lifecycle state, the remaining daemons also receive the messages of terminating instances.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn scale_in_without_imds() {
    in_cloud(|cloud| async move {
        let measured = with_a_real_queue(cloud, ImdsMode::WithoutTargetState, &[1]).await;
        eprintln!("1 of {} terminated: {:.0} receives by all daemons", instances(), measured[0]);
    })
    .await;
}

async fn with_a_real_queue(cloud: Arc<Cloud>, imds: ImdsMode, scale_ins: &[usize]) -> Vec<f64> {
    let queue = cloud.queue("termination").await;
    cloud.rule(&queue).await;
    let mut config = WorldConfig { instances: instances(), ..cloud.world(held_world()) };
    config.imds.mode = imds;
    config.hooks = vec![HookSpec::terminating("drain", HOOK_TIMEOUT)];
    let mut stage = Stage::new(1, config).await;
    cloud.carry_copies(&stage.service, 2);
    let proxy = Server::before(cloud.endpoint(), |_| None).await;
    let fleet = fleet(&stage, &proxy, |instance| cloud.variables(&stage, instance, &queue)).await;
    let strangers = strangers(&cloud.group);
    for body in &strangers {
        cloud.send(&queue.url, body).await;
    }
    let receives = take_all_away(&mut stage, fleet, &proxy, scale_ins).await;
    until_received(&cloud, &queue, strangers).await;
    receives
}

fn instances() -> u32 {
    SCALE_INS.iter().sum::<usize>() as u32
}

/// Runs the scale-ins one after the other. Returns for each the number of receives per terminated instance.
async fn take_all_away(
    stage: &mut Stage,
    mut fleet: Vec<Member>,
    proxy: &Server,
    scale_ins: &[usize],
) -> Vec<f64> {
    let mut costs = Vec::new();
    for &count in scale_ins {
        let (before, deleted) = (receives(proxy), deletes(proxy));
        let leaving: Vec<Member> = fleet.drain(..count).collect();
        take_away(stage, &leaving).await;
        costs.push((receives(proxy) - before) as f64 / count as f64);
        let heard = leaving.iter().filter(|one| one.daemon.log().contains("(from a message)")).count();
        eprintln!("{count} terminated: {heard} learned of Wait from their message");
        eventually("the deletion of their messages", || deletes(proxy) >= deleted + heard).await;
    }
    stage.violates_nothing(&[]);
    assert_eq!(stage.count(completed), scale_ins.iter().sum::<usize>(), "{:#?}", stage.history);
    costs
}

/// Terminates these instances and waits until each drain has ended.
async fn take_away(stage: &mut Stage, leaving: &[Member]) {
    stage.service.world(|world, now| {
        for member in leaving {
            world.terminate_instance(now, &member.instance, true).expect("in service");
        }
    });
    all_logged(leaving, "lifecycle action in Wait since").await;
    for member in leaving {
        let instance = &member.instance;
        stage.service.world(|world, now| world.free_stuck_work(now, instance));
    }
    all_logged(leaving, "drain ended: drained, completed with CONTINUE").await;
}

async fn all_logged(members: &[Member], words: &str) {
    let all = async {
        for member in members {
            member.daemon.logged_some_time(&[words]).await;
        }
    };
    let in_time = tokio::time::timeout(FLEET_PATIENCE, all).await;
    in_time.unwrap_or_else(|_| panic!("timed out waiting for {words:?} in every log"));
}

/// Messages for instances outside the fleet, and malformed ones.
fn strangers(group: &str) -> BTreeSet<String> {
    let terminate = include_str!("../fixtures/messages/eventbridge-terminate.json").replace("workers", group);
    let foreign = (0..FOREIGN).map(|n| terminate.replace("i-0123456789abcdef0", &format!("i-{n:017x}")));
    foreign.chain(GARBAGE.map(str::to_owned)).collect()
}

/// Waits until each of these has been received by a client outside the fleet.
async fn until_received(cloud: &Cloud, queue: &Queue, mut missing: BTreeSet<String>) {
    in_time("the foreign messages", async {
        while !missing.is_empty() {
            let receive = cloud.sqs.receive_message().queue_url(&queue.url).visibility_timeout(60);
            let receive = receive.max_number_of_messages(10).wait_time_seconds(1);
            for message in receive.send().await.expect("ReceiveMessage").messages() {
                missing.remove(message.body().expect("a body"));
            }
        }
    })
    .await;
}

/// An idle fleet's requests to SQS: until it has made `settled` receives, and from then on for [`idle`].
async fn asked_while_idle(cloud: &Cloud, config: WorldConfig, settled: usize) -> [Vec<Request>; 2] {
    let queue = cloud.queue("termination").await;
    let stage = Stage::new(1, WorldConfig { instances: FLEET as u32, ..cloud.world(config) }).await;
    let proxy = Server::before(cloud.endpoint(), |_| None).await;
    let _fleet = fleet(&stage, &proxy, |instance| cloud.variables(&stage, instance, &queue)).await;
    eventually("the fleet to settle", || receives(&proxy) >= settled).await;
    let settled = proxy.requests().len();
    tokio::time::sleep(idle()).await;
    let mut before = proxy.requests();
    let since = before.split_off(settled);
    [before, since]
}

/// How long the test observes the idle fleet.
fn idle() -> Duration {
    let seconds = std::env::var("IDLE_SECONDS").map_or(IDLE_SECONDS, |text| text.parse().expect("seconds"));
    Duration::from_secs(seconds)
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn idle_with_imds() {
    in_cloud(|cloud| async move {
        let asked = asked_while_idle(&cloud, world(2, 3), 0).await.concat();
        assert!(asked.is_empty(), "{asked:#?}");
    })
    .await;
}

/// IMDS has no target lifecycle state, so each daemon long-polls the queue: one request every 20 s, and one that was
/// already in flight.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn idle_without_imds() {
    in_cloud(|cloud| async move {
        let mut config = world(2, 3);
        config.imds.mode = ImdsMode::WithoutTargetState;
        let [_, asked] = asked_while_idle(&cloud, config, FLEET).await;
        let polls = asked.iter().filter(|one| is(one, "ReceiveMessage")).count();
        assert_eq!(polls, asked.len(), "{asked:#?}");
        let each = idle().as_secs() as usize / LONG_POLL_SECONDS;
        eprintln!("{polls} receives of {FLEET} daemons in {:?}", idle());
        assert!(polls <= (each + 1) * FLEET && polls >= each.saturating_sub(1) * FLEET, "{polls}");
    })
    .await;
}
