//! What `drainhook simulate --instances` and `--serve` print.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn simulate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    command.arg("simulate").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Runs a fleet without a violation. Returns what it printed.
fn fleet(arguments: &[&str]) -> String {
    let output = simulate(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn a_fleet_explains_itself() {
    let printed = fleet(&["--instances", "20", "--seeds", "3", "--without", "agent-crash"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines[0],
        "3 seeds × 20 instances, 1 hour of virtual time each, faults: rough without agent-crash"
    );
    assert!(lines.contains(&"seeds 1 to 3: no violations"), "{printed}");
    for said in [
        "effects compared with the reference",
        "checked against the invariants",
        " instances checked at the end",
        "work items lost",
        "spot interruptions: no hook runs",
    ] {
        assert!(printed.contains(said), "{said:?} is not in:\n{printed}");
    }
    let table = lines.iter().position(|line| line.split_whitespace().next() == Some("seed"));
    let table = &lines[table.expect("a table of the seeds")..];
    let seeds: Vec<_> = table[1..].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(seeds, ["1", "2", "3"], "{printed}");
    assert!(!printed.contains(['\r', '\u{1b}']), "{printed:?}");
}

#[test]
fn one_small_run() {
    let printed = fleet(&["--instances", "1", "--faults", "none", "--hours", "0.5"]);
    assert!(
        printed.starts_with("1 seed × 1 instance, 0.5 hours of virtual time, faults: none\n"),
        "{printed}"
    );
    assert!(printed.contains("seed 1: no violations"), "{printed}");
    assert!(!printed.contains("terminated  drained"), "one seed needs no table:\n{printed}");
}

#[test]
fn long_tables_are_cut() {
    let printed = fleet(&["--instances", "1", "--faults", "none", "--hours", "0.01", "--seeds", "30"]);
    let table: Vec<&str> =
        printed.lines().skip_while(|line| line.split_whitespace().next() != Some("seed")).collect();
    assert_eq!(table.len(), 1 + 20 + 1, "{printed}");
    assert_eq!(table.last().expect("a row").trim(), "…", "{printed}");
}

/// tests/soak sums these figures.
#[test]
fn fleet_as_json() {
    let printed = fleet(&["--instances", "20", "--seeds", "2", "--json"]);
    let object: Value = serde_json::from_str(&printed).expect("one object");
    assert_eq!((&object["event"], &object["seeds"]), (&"fleet".into(), &2.into()), "{object}");
    assert_eq!(object["interrupted"], false, "{object}");
    let figures = object["figures"].as_object().expect("figures");
    assert!(figures.values().all(Value::is_u64), "{object}");
    for name in ["instances", "terminated", "drained", "work_lost", "lost_to_spot", "compared"] {
        assert!(figures.contains_key(name), "{name} is not in {object}");
    }
}

/// Whether a process has installed its SIGINT handler (`SigCgt` in proc(5)).
fn handles_interrupts(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a mask");
    caught & (1 << (Signal::INT.as_raw() - 1)) != 0
}

/// Interrupts a run that has begun, and waits for its end.
fn interrupted(arguments: &[&str]) -> Output {
    let child = simulate(arguments).spawn().expect("the program starts");
    let limit = Instant::now() + Duration::from_secs(60);
    while !handles_interrupts(&child) {
        assert!(Instant::now() < limit, "it never handles interrupts");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(1));
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is our child");
    child.wait_with_output().expect("it has ended")
}

const ENDLESS: [&str; 8] =
    ["--instances", "1", "--faults", "none", "--hours", "0.01", "--seeds", "100000000"];

#[test]
fn interrupted_fleet_shows_what_is_complete() {
    let output = interrupted(&ENDLESS);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let complete = err.strip_prefix("drainhook: interrupted after ").and_then(|rest| rest.split(' ').next());
    let complete: u64 = complete.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{err:?}"));
    assert!(complete > 1 && err.ends_with(" of 100000000 seeds\n"), "{err:?}");
    assert!(out.contains(&format!("seeds 1 to {complete}: no violations")), "{complete}: {out}");
}

#[test]
fn interrupted_fleet_as_json() {
    let output = interrupted(&[ENDLESS.as_slice(), &["--json"]].concat());
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let object: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(object["interrupted"], true, "{object}");
    assert!(object["seeds"].as_u64().is_some_and(|seeds| (2..100_000_000).contains(&seeds)), "{object}");
}

/// The run is too large to complete a seed before the interrupt.
#[test]
fn interrupted_before_the_first_seed_is_complete() {
    let output = interrupted(&["--instances", "20000", "--seeds", "2"]);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(text(&output.stderr), "drainhook: interrupted after 0 of 2 seeds\n");
    assert_eq!(text(&output.stdout).lines().count(), 1, "only the title: {output:?}");
}

/// Starts a simulated AWS, and waits until it is ready. Returns it and what it printed.
fn served(arguments: &[&str], temporary: &Path) -> (Child, Vec<String>) {
    let mut command = simulate(&[&["--serve"], arguments].concat());
    let mut child = command.env("TMPDIR", temporary).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut printed = Vec::new();
    while printed.last().is_none_or(|line| line != "ready") {
        printed.push(lines.next().unwrap_or_else(|| panic!("it ended: {printed:?}")));
    }
    (child, printed)
}

fn end(child: Child) {
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is our child");
    let output = child.wait_with_output().expect("it has ended");
    assert!(output.status.success(), "{output:?}");
}

/// A shell's environment after a script.
fn environment_after(script: &str) -> Vec<String> {
    let output = Command::new("sh").args(["-ec", &format!("{script}\nenv")]).env_clear().output();
    let output = output.expect("a shell");
    assert!(output.status.success(), "{script}: {output:?}");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// A folder whose name has characters that a shell would interpret.
fn odd_folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("it's $HOME here ").tempdir().expect("a folder")
}

#[test]
fn served_variables_are_quoted() {
    let folder = odd_folder();
    let (child, printed) = served(&["--speed", "5"], folder.path());
    let (exports, rest): (Vec<_>, Vec<_>) = printed.iter().partition(|line| line.starts_with("export "));
    let [instance, ready] = rest.as_slice() else { panic!("{printed:?}") };
    assert!(exports.len() > 5 && instance.starts_with("i-") && *ready == "ready", "{printed:?}");
    let exports: Vec<&str> = exports.iter().map(|line| line.as_str()).collect();
    let (_, variables) = instance.split_once(' ').expect("an id and variables");
    let environment = environment_after(&format!("{}\nexport {variables}", exports.join("\n")));
    let socket = format!("DRAINHOOK_CONTROL__SOCKET={}/", folder.path().display());
    for start in
        ["AWS_ENDPOINT_URL=http://127.0.0.1:", "AWS_REGION=", "DRAINHOOK_SIMULATION__CLOCK=", &socket]
    {
        assert!(environment.iter().any(|line| line.starts_with(start)), "{start} is not in {environment:?}");
    }
    end(child);
}

#[test]
fn environment_file() {
    let folder = odd_folder();
    let file = folder.path().join("aws.env");
    let path = file.to_str().expect("UTF-8");
    let (child, printed) = served(&["--instances", "2", "--env-file", path], folder.path());
    let written = std::fs::read_to_string(&file).expect("it was written before `ready`");
    assert!(written.lines().all(|line| line.starts_with("export ") && line.ends_with('\'')), "{written}");
    assert!(printed.iter().all(|line| !line.contains("drainhook run")), "{printed:?}");
    let first = printed.iter().find(|line| line.starts_with("i-")).expect("an instance");
    for environment in
        [environment_after(&written), environment_after(&format!(". \"{}\"", { path.replace('$', "\\$") }))]
    {
        for name in ["AWS_ENDPOINT_URL", "DRAINHOOK_QUEUE__URL", "AWS_ACCESS_KEY_ID"] {
            assert!(environment.iter().any(|line| line.starts_with(&format!("{name}="))), "{environment:?}");
        }
        let imds = environment.iter().find(|line| line.starts_with("AWS_EC2_METADATA_SERVICE_ENDPOINT="));
        assert!(first.contains(imds.expect("it is set").as_str()), "{first} {environment:?}");
    }
    end(child);
}

#[test]
fn environment_file_that_cannot_be_written() {
    let output = simulate(&["--serve", "--env-file", "/proc/none/aws.env"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains("cannot write /proc/none/aws.env: "), "{told}");
    assert!(output.stdout.is_empty(), "{output:?}");
}
