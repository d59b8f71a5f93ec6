//! Runs every scenario of `drainhook simulate` with the real daemon, as a user would.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use machine::Time;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use sim::scenario::SCENARIOS;

/// The longest time that a program may take before it counts as hung. The longest scenario takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(120);

fn drainhook(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Waits for a program to end. If it hangs, kills it and fails the test.
fn output(command: Command) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut command = tokio::process::Command::from(command);
        let output = command.kill_on_drop(true).output();
        tokio::time::timeout(PATIENCE, output).await.expect("the program ends").expect("the program starts")
    })
}

/// The same for a program that is already running.
fn end(mut child: Child) -> Output {
    let limit = Instant::now() + PATIENCE;
    while child.try_wait().expect("it is our child").is_none() {
        if Instant::now() > limit {
            child.kill().expect("it is our child");
            panic!("the program does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("the program has ended")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Plays a scenario. Returns the events that it printed, with the summary last.
fn play(scenario: &str) -> Vec<Value> {
    play_with(scenario, &[])
}

fn play_with(scenario: &str, arguments: &[&str]) -> Vec<Value> {
    let output = output(drainhook(&[&["simulate", scenario, "--json"], arguments].concat()));
    let printed = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(output.status.success(), "{printed}\n{}", stderr(&output));
    let events: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(events.iter().all(|event| event["event"].is_string()), "{printed}");
    let summary = events.last().expect("at least a summary");
    assert_eq!(summary["event"], "summary", "{printed}");
    assert_eq!(summary["scenario"], scenario, "{printed}");
    assert_eq!(summary["passed"], true, "{printed}");
    events
}

macro_rules! played {
    ($($test:ident: $scenario:literal),* $(,)?) => {
        const PLAYED: &[&str] = &["scale-in", "long-drain", "many", $($scenario),*];
        $(
            #[test]
            fn $test() {
                play($scenario);
            }
        )*
    };
}

played! {
    load_balancer: "load-balancer",
    target_group: "target-group",
    no_queue: "no-queue",
    queue_only: "queue-only",
    agent_hangs: "agent-hangs",
    agent_refuses: "agent-refuses",
    agent_crashes: "agent-crashes",
    agent_restarts: "agent-restarts",
    agent_exits: "agent-exits",
    daemon_killed: "daemon-killed",
    daemon_stopped: "daemon-stopped",
    imds_flaky: "imds-flaky",
    queue_lost: "queue-lost",
    event_late: "event-late",
    event_duplicated: "event-duplicated",
    throttled: "throttled",
    two_hooks: "two-hooks",
    hook_deleted: "hook-deleted",
    overtaken: "overtaken",
    default_result: "default-result",
    retained: "retained",
    warm_pool: "warm-pool",
    protection: "protection",
    spot_interruption: "spot-interruption",
    rebalance: "rebalance",
    maintenance: "maintenance",
    standby: "standby",
    detachment: "detachment",
    capacity_reservation: "capacity-reservation",
    capacity_block: "capacity-block",
    launch: "launch",
    root_volume: "root-volume",
}

/// Faster than the scenario's own speed, which suits people who watch.
#[test]
fn scale_in() {
    play_with("scale-in", &["--speed", "12"]);
}

/// The summary has an object for each instance, with its own result.
#[test]
fn many() {
    let events = play("many");
    let instances = events.last().expect("a summary")["instances"].as_array().expect("a list").clone();
    assert_eq!(instances.len(), 20);
    for instance in &instances {
        let completions = events
            .iter()
            .filter(|event| event["event"] == "completed" && event["instance"] == instance["instance"]);
        assert_eq!(completions.count(), 1, "{instance}");
        assert_eq!((&instance["result"], &instance["lost"]), (&"CONTINUE".into(), &0.into()), "{instance}");
    }
}

/// A drain that takes many heartbeat timeouts. Checks the heartbeats in the events, not in the summary.
#[test]
fn long_drain() {
    const TIMEOUT: Duration = Duration::from_secs(300);
    let events = play("long-drain");
    let times = |name: &str| -> Vec<Time> {
        let of_name = events.iter().filter(|event| event["event"] == name);
        of_name.map(|event| Time::from_rfc3339(event["at"].as_str().expect("a time")).expect("one")).collect()
    };
    let (waits, beats, completions) = (times("wait_began"), times("heartbeat"), times("completed"));
    assert_eq!((waits.len(), completions.len()), (1, 1), "{events:?}");
    let action = completions[0].since(waits[0]);
    let beats_max = action.as_secs() / (TIMEOUT / 2).as_secs();
    assert!(beats.len() as u64 <= beats_max, "{} heartbeats in {action:?}", beats.len());
    let moments: Vec<Time> = [waits, beats, completions].concat();
    for pair in moments.windows(2) {
        assert!(pair[0] <= pair[1] && pair[1].since(pair[0]) < TIMEOUT, "{moments:?}");
    }
}

#[test]
fn all_scenarios_are_played_here() {
    let mut names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    let mut played = PLAYED.to_vec();
    names.sort_unstable();
    played.sort_unstable();
    assert_eq!(played, names);
}

#[test]
fn list() {
    let output = output(drainhook(&["simulate", "--list"]));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let first_words: Vec<&str> = printed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    assert_eq!(first_words, names);
    assert!(output.status.success());
}

#[test]
fn unknown_scenario() {
    let output = output(drainhook(&["simulate", "scale-inn"]));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "drainhook: no scenario is called \"scale-inn\"; did you mean scale-in? To list all: drainhook simulate --list\n"
    );
    assert!(output.stdout.is_empty());
}

/// As under `head -1`, the reader takes the first line and closes the pipe.
#[test]
fn reader_closes_the_pipe() {
    let mut command = drainhook(&["simulate", "load-balancer"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert!(line.starts_with("load-balancer"), "{line}");
    let output = end(child);
    let told = stderr(&output);
    assert!(output.status.success() && told.is_empty(), "{:?}\n{told}", output.status);
}

/// Nothing reads the output, so every write fails.
#[test]
fn closed_output() {
    for arguments in [["simulate", "--list"].as_slice(), &["simulate", "--list", "--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = drainhook(arguments);
        command.stdout(writer).stderr(Stdio::piped());
        let output = end(command.spawn().expect("the program starts"));
        let told = stderr(&output);
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
}

/// Starts a simulation in real time. Returns it and the process id of its daemon.
fn started() -> (Child, Pid) {
    let mut command = drainhook(&["simulate", "long-drain", "--speed", "1"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    // The daemon is up before the scale-in.
    stdout.lines().map_while(Result::ok).find(|line| line.contains("scale-in")).expect("a scale-in");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()));
    let children = children.expect("the simulation runs");
    let daemon = children.trim().parse().ok().and_then(Pid::from_raw);
    (child, daemon.unwrap_or_else(|| panic!("one child, not {children:?}")))
}

/// Ending the simulation ends its daemon too.
#[test]
fn interruption() {
    let (child, daemon) = started();
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is our child");
    assert_eq!(end(child).status.code(), Some(130));
    assert!(test_kill_process(daemon).is_err(), "its daemon is still running");
}

#[test]
fn daemon_dies() {
    let (child, daemon) = started();
    kill_process(daemon, Signal::KILL).expect("it is our child's daemon");
    let output = end(child);
    assert_eq!(output.status.code(), Some(1));
    // The daemon's log is shown, so that the user can see why.
    let told = stderr(&output);
    assert!(told.contains("the daemon exited unexpectedly") && told.contains("watching"), "{told}");
}
