//! The drains in which daemons are killed, and how they are played.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use drainhook::clock::Clock;
use machine::Time;
use machine::journal::{ActionRecord, AgentRecord, AgentStage, Journal, Outcome};
use machine::launch::LaunchStage;
use machine::protection::Protection;
use machine::targets::{TargetRecord, TargetStage};
use sim::world::{AgentMode, Happening, HookSpec, ImdsFlip, LifecycleState, Timing, Work, WorldConfig};
use tokio::sync::watch;

use super::excuses::{hidden_for_long, repeats};
use crate::support::daemon::{
    Daemon, Stage, Variables, completed, drained, eventually, message_deleted, written,
};
use crate::support::lossy;
use crate::support::world::{launching, target_group};

/// The heartbeat timeout of the hook.
pub const HOOK: Duration = Duration::from_secs(1800);

/// Long enough that the instance still exists when a daemon restarts after the completion.
const TERMINATED: Duration = Duration::from_secs(7200);

/// A daemon that has not died this long after the drain's end has not reached the ordered point.
const MISSED_AFTER: Duration = Duration::from_secs(30);

/// A drain in which the daemon is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// A scale-in with a hook and a queue. The queue also has another instance's message.
    Queue,
    /// A scale-in behind a load balancer, without a queue. The group must be looked up, and AWS's first response to each
    /// kind of call is lost.
    AnswersLost,
    /// A scale-in with work that never finishes.
    Deadline,
    /// The same, and the agent has a force step, which does nothing.
    Force,
    /// The instance is moved to standby with work that never finishes, and back. The agent is holding a status request when
    /// it must serve again, so that request is canceled. The instance also leaves a target group, and comes back.
    Withdrawn,
    /// A scale-in with an after step.
    Step,
    /// The same, and the step hangs until its time is over.
    StepHangs,
    /// No drain: the instance is launched, and its agent is not ready before the first heartbeat.
    Launch,
    /// No drain: the agent works, so the instance is protected from scale-in, and then it has nothing more to do.
    Protection,
}

impl Drain {
    pub const ALL: [Drain; 9] = [
        Drain::Queue,
        Drain::AnswersLost,
        Drain::Deadline,
        Drain::Force,
        Drain::Withdrawn,
        Drain::Step,
        Drain::StepHangs,
        Drain::Launch,
        Drain::Protection,
    ];

    /// The effects that happen more than once in every run. The second time is a kill point of its own.
    pub fn twice(self) -> &'static [&'static str] {
        match self {
            Drain::Queue
            | Drain::Deadline
            | Drain::Force
            | Drain::Step
            | Drain::StepHangs
            | Drain::Launch
            | Drain::Protection => &[],
            Drain::AnswersLost => &["DescribeInstance", "DescribeHooks", "Heartbeat", "Complete"],
            Drain::Withdrawn => &["WriteJournal serving"],
        }
    }

    /// The last effect of the drain, and how often it has been performed by then.
    fn last(self) -> (usize, &'static str) {
        match self {
            Drain::Withdrawn => (2, "WriteJournal serving"),
            Drain::Launch => (1, "WriteJournal serving"),
            Drain::Protection => (1, "WriteJournal lifted"),
            Drain::Queue
            | Drain::AnswersLost
            | Drain::Deadline
            | Drain::Force
            | Drain::Step
            | Drain::StepHangs => (1, "WriteJournal ended, 0 messages"),
        }
    }

    /// The first point at which the drain differs from the others; `None` if it differs from the start.
    pub fn from(self) -> Option<&'static str> {
        match self {
            Drain::Queue | Drain::AnswersLost | Drain::Withdrawn | Drain::Launch | Drain::Protection => None,
            Drain::Deadline => Some("before Report completing"),
            Drain::Force => Some("before WriteJournal forced"),
            Drain::Step | Drain::StepHangs => Some("before WriteJournal step 0"),
        }
    }

    /// The action expires after at least 18 s of real time, which is enough on a busy machine.
    fn speed(self) -> u32 {
        match self {
            // A heartbeat would detect Wait and make the message unnecessary. It comes after 15 s of real time.
            Drain::Queue => 4,
            Drain::AnswersLost => 50,
            // The agent is forced a minute before its deadline, which is 3 s of real time.
            Drain::Force | Drain::Protection => 20,
            // The first heartbeat comes after 2 s of real time.
            Drain::Launch => 5,
            Drain::Deadline | Drain::Withdrawn | Drain::Step | Drain::StepHangs => 100,
        }
    }

    fn world(self) -> WorldConfig {
        let mut world = WorldConfig {
            hooks: vec![HookSpec::terminating("drain", HOOK)],
            work: Work { items: 2, duration: Duration::from_secs(10), stuck: 0 },
            timing: Timing { terminated: TERMINATED, ..Timing::default() },
            ..WorldConfig::default()
        };
        match self {
            Drain::Queue => {
                // The message is in the queue before the daemon asks for it.
                world.imds.flip = ImdsFlip::AfterWait(Duration::from_secs(1));
                world.work.duration = Duration::from_secs(2);
            }
            Drain::Withdrawn => {
                world.work.stuck = 1;
                world.target_groups.push(target_group("web", HOOK));
            }
            Drain::AnswersLost => {
                world.queue = None;
                world.imds.tags = false;
            }
            Drain::Step | Drain::StepHangs | Drain::Protection => world.queue = None,
            Drain::Deadline | Drain::Force => {
                world.queue = None;
                world.work.stuck = 1;
            }
            Drain::Launch => {
                (world.queue, world.instances) = (None, 0);
                world.hooks.push(launching("warm-up", HOOK));
            }
        }
        world
    }

    /// What the after step does, besides leaving a mark, and its time. One that ends has seconds of real time.
    fn step(self) -> Option<(&'static str, &'static str)> {
        match self {
            Drain::Step => Some(("true", "10m")),
            Drain::StepHangs => Some(("exec sleep 30", "1m")),
            Drain::Queue
            | Drain::AnswersLost
            | Drain::Deadline
            | Drain::Force
            | Drain::Withdrawn
            | Drain::Launch
            | Drain::Protection => None,
        }
    }

    fn settings(self) -> [(&'static str, &'static str); 3] {
        let (timeout, at) = match self {
            Drain::AnswersLost => ("24h", "wait"),
            Drain::Deadline | Drain::Force => ("2m", "notice"),
            Drain::Queue
            | Drain::Withdrawn
            | Drain::Step
            | Drain::StepHangs
            | Drain::Launch
            | Drain::Protection => ("24h", "notice"),
        };
        let poll = match self {
            Drain::Queue | Drain::Launch | Drain::Protection => "1s",
            // The agent still holds the first status request when it must serve again.
            Drain::Withdrawn => "2s",
            Drain::AnswersLost | Drain::Deadline | Drain::Force | Drain::Step | Drain::StepHangs => "10s",
        };
        [
            ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", timeout),
            ("DRAINHOOK_LIFECYCLE__DRAIN_AT", at),
            ("DRAINHOOK_IMDS__POLL", poll),
        ]
    }
}

/// The result of a run.
pub struct Played {
    /// The points that all lives reached, in order.
    pub points: Vec<String>,
    /// How each life but the last ended.
    pub ends: Vec<ExitStatus>,
}

/// Plays a drain whose daemon has orders to kill itself, and restarts it each time. Waits for at least `deaths` restarts.
/// Panics if the drain does not end well.
pub async fn play(drain: Drain, orders: &[String], deaths: usize) -> Played {
    let mut stage = Stage::new(drain.speed(), drain.world()).await;
    let launched = if drain == Drain::Launch { Some(stage.launch().await) } else { None };
    let instance = launched.unwrap_or_else(|| stage.instance());
    let mut variables = stage.variables(&instance);
    let points = Points(stage.folder.path().join("points"));
    std::fs::write(&points.0, orders.join("\n") + "\n").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", points.0.display().to_string());
    variables.extend(drain.settings().map(|(name, value)| (name, value.to_owned())));
    if drain == Drain::Withdrawn {
        variables.insert("DRAINHOOK_LIFECYCLE__ON_STANDBY", "drain".to_owned());
        variables.insert("DRAINHOOK_TARGET_GROUP__ARN", stage.target_group());
        variables.insert("DRAINHOOK_TARGET_GROUP__TIMEOUT", "1h".to_owned());
    }
    let runs = stage.folder.path().join("runs");
    if let Some((body, timeout)) = drain.step() {
        let command = format!("echo >>{}; {body}", runs.display());
        variables
            .insert("DRAINHOOK_AFTER__COMMAND", serde_json::json!(["/bin/sh", "-c", command]).to_string());
        variables.insert("DRAINHOOK_AFTER__TIMEOUT", timeout.to_owned());
    }
    if drain == Drain::Force {
        let command = format!("echo >>{}", runs.display());
        variables.insert(
            "DRAINHOOK_AGENT__FORCE__COMMAND",
            serde_json::json!(["/bin/sh", "-c", command]).to_string(),
        );
        variables.insert("DRAINHOOK_AGENT__FORCE__BEFORE", "1m".to_owned());
    }
    if drain == Drain::Launch {
        variables.insert("DRAINHOOK_LAUNCH__HOOK", "warm-up".to_owned());
        variables.insert("DRAINHOOK_LAUNCH__TIMEOUT", "24h".to_owned());
        set_agent(&stage, AgentMode::Fails(503));
    }
    if drain == Drain::Protection {
        variables.insert("DRAINHOOK_PROTECTION__WHEN_BUSY", "true".to_owned());
        variables.insert("DRAINHOOK_PROTECTION__BUSY_FOR", "10s".to_owned());
        variables.insert("DRAINHOOK_PROTECTION__IDLE_FOR", "20s".to_owned());
    }
    if drain == Drain::AnswersLost {
        variables.insert("AWS_ENDPOINT_URL", lossy::way_to(stage.service.aws_url()).await);
    }
    let (up, mut lives) = watch::channel(0);
    let mut keeper = Keeper { clock: stage.service.clock(), up, restarts: Vec::new(), ends: Vec::new() };
    let disk = Disk { variables: variables.clone(), instance: instance.clone() };
    tokio::select! {
        () = async {
            direct(drain, &mut stage, &disk, &points).await;
            if orders.is_empty() {
                let (times, effect) = drain.last();
                points.performed(times, effect).await;
            }
            // The drain may have ended without an ordered point.
            let last = lives.wait_for(|lives| *lives > deaths);
            let _ = tokio::time::timeout(MISSED_AFTER, last).await;
        } => {}
        () = keeper.keep(&variables, &disk) => {}
    }
    if !matches!(drain, Drain::Withdrawn | Drain::Launch | Drain::Protection) {
        stage.service.world(|world, now| world.advance(now + TERMINATED));
    }
    check(drain, &mut stage, &keeper.restarts, &disk.journal().expect("one is written"));
    let runs = std::fs::read_to_string(&runs).unwrap_or_default().lines().count();
    if drain == Drain::Force {
        assert!(runs <= 1, "the agent was forced {runs} times: {:?}", keeper.ends);
        assert!(runs == 1 || !keeper.ends.is_empty(), "the agent was not forced");
    }
    if drain.step().is_some() {
        // Each life may run it once, and only the last one need have.
        assert!((1..=1 + keeper.ends.len()).contains(&runs), "the step ran {runs} times: {:?}", keeper.ends);
    }
    Played { points: points.reached(), ends: keeper.ends }
}

/// Restarts the daemon when it exits, as a service manager does.
struct Keeper {
    clock: Clock,
    /// How many lives have begun.
    up: watch::Sender<usize>,
    restarts: Vec<Time>,
    ends: Vec<ExitStatus>,
}

impl Keeper {
    async fn keep(&mut self, variables: &Variables, disk: &Disk) {
        loop {
            let mut daemon = Daemon::spawn(variables);
            let end = match daemon.end_before_it_is_up().await {
                Some(end) => end,
                None => {
                    self.up.send_replace(self.ends.len() + 1);
                    daemon.end().await
                }
            };
            self.ends.push(end);
            // At every point, the dead daemon leaves a readable journal, or none yet.
            disk.journal();
            self.restarts.push(self.clock.now());
        }
    }
}

/// The folder of the daemon's journal.
struct Disk {
    variables: Variables,
    instance: String,
}

impl Disk {
    fn journal(&self) -> Option<Journal> {
        written(&self.variables, &self.instance)
    }

    /// Waits until the journal holds this, whichever life wrote it.
    async fn says(&self, what: &str, holds: impl Fn(&Journal) -> bool) {
        eventually(what, || self.journal().as_ref().is_some_and(&holds)).await;
    }
}

/// The file with the orders to the daemon and the points that it has reached.
struct Points(PathBuf);

impl Points {
    fn reached(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).expect("it is there");
        let points = text.lines().filter(|line| !line.is_empty() && !line.starts_with("SIG"));
        points.map(str::to_owned).collect()
    }

    /// Waits until an effect was performed this often.
    async fn performed(&self, times: usize, effect: &str) {
        let point = format!("after {effect}");
        eventually(&point, || self.reached().iter().filter(|reached| **reached == point).count() >= times)
            .await;
    }
}

/// Directs the events of the drain. The agent accepts its orders only after everything else is known, so that every run
/// includes the rest, however slow the machine is.
async fn direct(drain: Drain, stage: &mut Stage, disk: &Disk, points: &Points) {
    disk.says("in service", |journal| journal.served).await;
    match drain {
        Drain::Queue => {
            send_message_of_another(stage);
            set_agent(stage, AgentMode::Fails(503));
            stage.scale_in();
            disk.says("Wait", |journal| action(journal).is_some_and(|action| action.wait.is_waiting())).await;
            points.performed(1, "Report agent_trouble").await;
            set_agent(stage, AgentMode::Answers);
        }
        Drain::AnswersLost | Drain::Deadline | Drain::Force | Drain::Step | Drain::StepHangs => {
            stage.scale_in();
        }
        Drain::Launch => {
            points.performed(1, "Heartbeat").await;
            set_agent(stage, AgentMode::Answers);
            stage.until("the completion", completed).await;
            disk.says("the end of the launch", is_launched).await;
            return;
        }
        Drain::Protection => {
            disk.says("protected", |one| matches!(one.protection, Protection::Protected { .. })).await;
            stage.service.world(|world, now| world.rest_agents(now));
            disk.says("lifted", is_lifted).await;
            return;
        }
        Drain::Withdrawn => {
            set_agent(stage, AgentMode::Fails(503));
            set_target(stage, "Standby");
            disk.says("the drain", |journal| journal.drain.is_some()).await;
            points.performed(1, "Report agent_trouble").await;
            set_agent(stage, AgentMode::Answers);
            disk.says("draining", |journal| journal.agents.iter().all(is_draining)).await;
            disk.says("no target", |journal| journal.targets.iter().all(has_left)).await;
            set_target(stage, "InService");
            disk.says("in service again", |journal| journal.drain.is_none() && serves(journal)).await;
            return;
        }
    }
    stage.until("the completion", completed).await;
    let over = |journal: &Journal| {
        journal.drain.as_ref().is_some_and(|drain| drain.phase.ended().is_some() && drain.receipts.is_empty())
    };
    disk.says("the end", over).await;
}

fn is_draining(agent: &AgentRecord) -> bool {
    matches!(agent.stage, AgentStage::Draining(_))
}

fn has_left(target: &TargetRecord) -> bool {
    matches!(target.stage, TargetStage::Draining { .. })
}

/// Whether the launch is over.
fn is_launched(journal: &Journal) -> bool {
    matches!(journal.launch, LaunchStage::Over { .. })
}

/// Whether the protection was lifted.
fn is_lifted(journal: &Journal) -> bool {
    matches!(journal.protection, Protection::Lifted { .. })
}

/// Whether every agent serves, and the instance is a target again.
fn serves(journal: &Journal) -> bool {
    let are_back = journal.targets.iter().all(|target| !target.taken_out);
    are_back && journal.agents.iter().all(|agent| agent.stage == AgentStage::Serving)
}

fn action(journal: &Journal) -> Option<&ActionRecord> {
    journal.drain.as_ref().map(|drain| &drain.action)
}

fn set_agent(stage: &Stage, mode: AgentMode) {
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, mode));
}

fn set_target(stage: &Stage, state: &'static str) {
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_target_state(now, &instance, state));
}

fn send_message_of_another(stage: &Stage) {
    let body = serde_json::json!({
        "version": "0",
        "source": "aws.autoscaling",
        "detail-type": "EC2 Instance-terminate Lifecycle Action",
        "detail": {
            "AutoScalingGroupName": "workers",
            "EC2InstanceId": "i-00000000000000bad",
            "LifecycleActionToken": "00000000-0000-0000-0000-000000000bad",
            "LifecycleHookName": "drain",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        },
    });
    let queue = stage.service.world(|world, _| world.config().queue.clone()).expect("there is one");
    let sent =
        stage.service.world(|world, now| world.send_message(now, &queue, body.to_string(), Duration::ZERO));
    sent.expect("the queue takes it");
}

/// Checks that, whatever happened to the daemon, there is one completion, no work was lost, the deadline was kept, and no
/// message was wrongly deleted.
fn check(drain: Drain, stage: &mut Stage, restarts: &[Time], journal: &Journal) {
    let completions = stage.count(completed);
    if drain == Drain::Launch {
        let state = stage.service.instances()[0].state;
        assert!(!matches!(state, LifecycleState::PendingWait), "{:#?}", stage.history);
        assert!(completions == 1 && is_launched(journal), "{:#?}", stage.history);
        return;
    }
    if drain == Drain::Protection {
        assert!(!stage.service.instances()[0].protected && is_lifted(journal), "{:#?}", stage.history);
        return;
    }
    stage.violates_nothing(&repeats(drain, stage, restarts));
    if drain == Drain::Withdrawn {
        assert!(journal.drain.is_none() && serves(journal), "{journal:#?}");
        let returns = stage.count(|one| matches!(one, Happening::AgentReturned { .. }));
        assert_eq!((completions, returns), (0, 1), "{:#?}", stage.history);
        assert!(stage.is_target(), "{:#?}", stage.history);
        return;
    }
    assert_eq!(completions, 1, "{:#?}", stage.history);
    let at =
        |found: fn(&Happening) -> bool| stage.history.iter().find(|(_, one)| found(one)).map(|(at, _)| *at);
    let completed_at = at(completed);
    let outcome = if matches!(drain, Drain::Deadline | Drain::Force) {
        assert!(completed_at >= stage.deadlines().last().copied(), "{:#?}", stage.history);
        Outcome::Deadline
    } else {
        assert!(at(drained).is_some() && at(drained) <= completed_at, "{:#?}", stage.history);
        Outcome::Drained
    };
    let ended = journal.drain.as_ref().and_then(|drain| drain.phase.ended());
    assert_eq!(ended.map(|ended| ended.outcome), Some(outcome), "{:#?}", stage.history);
    if drain == Drain::Queue {
        assert!(stage.count(message_deleted) == 1 || !hidden_for_long(stage), "{:#?}", stage.history);
    }
}
