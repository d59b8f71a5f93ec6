//! Fifty daemons, fifty processes, one queue.

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

/// How many of them are taken away at once, one time after the other. Together they are more than [`FLEET`], so the group
/// has as many.
const SCALE_INS: [usize; 3] = [1, 10, FLEET];

/// LocalStack needs its time to serve so many. Where all of them listen, a message goes from one to the next by chance
/// until it comes to its own: mostly within two minutes, and now and then in many more.
const FLEET_PATIENCE: Duration = Duration::from_secs(1200);
/// Longer than that: no action shall expire in between.
const HOOK_TIMEOUT: Duration = Duration::from_secs(3600);

/// Messages on the queue that are for no instance in the fleet.
const FOREIGN: usize = 20;
const GARBAGE: [&str; 5] = ["not JSON", "{}", "[]", "{\"detail\":{}}", "{\"Type\":\"Notification\"}"];

/// How long the idle fleet is watched, where nothing else is said.
const IDLE_SECONDS: u64 = 20;
const LONG_POLL_SECONDS: usize = 20;

/// One of the fleet.
struct Member {
    instance: String,
    daemon: Daemon,
}

/// A daemon for each instance. Its variables are changed so that it reaches the queue through `way`.
async fn fleet(stage: &Stage, way: &Server, variables: impl Fn(&str) -> Variables) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for instance in stage.instances() {
        let mut variables = variables(&instance);
        variables.insert("AWS_ENDPOINT_URL_SQS", way.url.clone());
        members.push(Member { daemon: Daemon::spawn(&variables), instance });
    }
    for member in &mut members {
        member.daemon.told("STATUS=").await;
    }
    members
}

fn receives(way: &Server) -> usize {
    way.count(|one| is(one, "ReceiveMessage"))
}

fn deletes(way: &Server) -> usize {
    way.count(|one| is(one, "DeleteMessage"))
}

/// A scale-in of one, of ten, and of fifty, between messages for no instance here; every event comes twice. What it
/// costs is held against what it costs with the simulator's queue.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn scale_in() {
    let predicted = with_the_simulators_queue().await;
    in_cloud(move |cloud| async move {
        let measured = with_a_real_queue(cloud, ImdsMode::Answers, &SCALE_INS).await;
        for ((count, predicted), measured) in SCALE_INS.iter().zip(predicted).zip(measured) {
            eprintln!(
                "{count} taken away: {measured:.1} receives each, {predicted:.1} with the simulator's queue"
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
    let way = Server::before(stage.service.aws_url(), |_| None).await;
    let fleet = fleet(&stage, &way, |instance| stage.variables(instance)).await;
    for body in strangers("workers") {
        let sent = stage
            .service
            .world(|world, now| world.send_message(now, "workers-termination", body, Duration::ZERO));
        sent.expect("the queue is there");
    }
    take_all_away(&mut stage, fleet, &way, &SCALE_INS).await
}

/// Where IMDS cannot tell of a termination, all who stay look at the messages of those who leave.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn scale_in_without_imds() {
    in_cloud(|cloud| async move {
        let measured = with_a_real_queue(cloud, ImdsMode::WithoutTargetState, &[1]).await;
        eprintln!("1 of {} taken away: {:.0} receives of all of them", instances(), measured[0]);
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
    let way = Server::before(cloud.endpoint(), |_| None).await;
    let fleet = fleet(&stage, &way, |instance| cloud.variables(&stage, instance, &queue)).await;
    let strangers = strangers(&cloud.group);
    for body in &strangers {
        cloud.send(&queue.url, body).await;
    }
    let receives = take_all_away(&mut stage, fleet, &way, scale_ins).await;
    until_received(&cloud, &queue, strangers).await;
    receives
}

fn instances() -> u32 {
    SCALE_INS.iter().sum::<usize>() as u32
}

/// One scale-in after the other. What each cost: receives for each instance that was taken away.
async fn take_all_away(
    stage: &mut Stage,
    mut fleet: Vec<Member>,
    way: &Server,
    scale_ins: &[usize],
) -> Vec<f64> {
    let mut costs = Vec::new();
    for &count in scale_ins {
        let (before, deleted) = (receives(way), deletes(way));
        let leaving: Vec<Member> = fleet.drain(..count).collect();
        take_away(stage, &leaving).await;
        costs.push((receives(way) - before) as f64 / count as f64);
        let heard = leaving.iter().filter(|one| one.daemon.log().contains("(from a message)")).count();
        eprintln!("{count} taken away: {heard} heard of Wait by their message");
        eventually("the deletion of their messages", || deletes(way) >= deleted + heard).await;
    }
    stage.violates_nothing(&[]);
    assert_eq!(stage.count(completed), scale_ins.iter().sum::<usize>(), "{:#?}", stage.history);
    costs
}

/// Takes some away and waits until each has drained and deleted its message.
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

/// Messages that are for no instance here.
fn strangers(group: &str) -> BTreeSet<String> {
    let terminate = include_str!("../fixtures/messages/eventbridge-terminate.json").replace("workers", group);
    let foreign = (0..FOREIGN).map(|n| terminate.replace("i-0123456789abcdef0", &format!("i-{n:017x}")));
    foreign.chain(GARBAGE.map(str::to_owned)).collect()
}

/// Waits until each of these has been received by a client outside the fleet.
async fn until_received(cloud: &Cloud, queue: &Queue, mut missing: BTreeSet<String>) {
    in_time("what is for no instance here", async {
        while !missing.is_empty() {
            let receive = cloud.sqs.receive_message().queue_url(&queue.url).visibility_timeout(60);
            let receive = receive.max_number_of_messages(10).wait_time_seconds(1);
            for message in receive.send().await.expect("it exists").messages() {
                missing.remove(message.body().expect("one"));
            }
        }
    })
    .await;
}

/// What an idle fleet asks of SQS: until it has asked so often, and from then on while it is watched.
async fn asked_while_idle(cloud: &Cloud, config: WorldConfig, settled: usize) -> [Vec<Request>; 2] {
    let queue = cloud.queue("termination").await;
    let stage = Stage::new(1, WorldConfig { instances: FLEET as u32, ..cloud.world(config) }).await;
    let way = Server::before(cloud.endpoint(), |_| None).await;
    let _fleet = fleet(&stage, &way, |instance| cloud.variables(&stage, instance, &queue)).await;
    eventually("the fleet to settle", || receives(&way) >= settled).await;
    let settled = way.requests().len();
    tokio::time::sleep(idle()).await;
    let mut before = way.requests();
    let since = before.split_off(settled);
    [before, since]
}

/// How long the idle fleet is watched.
fn idle() -> Duration {
    let seconds = std::env::var("IDLE_SECONDS").map_or(IDLE_SECONDS, |text| text.parse().expect("seconds"));
    Duration::from_secs(seconds)
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn idle_behind_imds() {
    in_cloud(|cloud| async move {
        let asked = asked_while_idle(&cloud, world(2, 3), 0).await.concat();
        assert!(asked.is_empty(), "{asked:#?}");
    })
    .await;
}

/// IMDS cannot tell of a termination, so each long-polls the queue: one request in 20 s, and one that was under way.
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
