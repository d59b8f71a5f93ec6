//! Where the status of an agent is read.

use super::*;
use std::collections::BTreeMap;

fn probe(keys: &str) -> Option<Probe> {
    config(&format!("[agent]\n{keys}"), &[]).agents.remove(0).probe
}

fn number(reading: Reading, zero_for: Option<u64>) -> Option<Probe> {
    Some(Probe::Number { reading, zero_for: zero_for.map(Duration::from_secs) })
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// One example of each reading, as the documentation has it.
#[test]
fn readings() {
    let url = || Some("http://127.0.0.1:9090/metrics?all=1".to_owned());
    let jobs = |url, labels| Reading::Metric { url, name: "jobs".to_owned(), labels };
    assert_eq!(probe("status.path = \"/status\""), None);
    assert_eq!(
        probe("status.url = \"http://127.0.0.1:9090/\""),
        Some(Probe::Document("http://127.0.0.1:9090/".to_owned()))
    );
    assert_eq!(
        probe("status = { path = \"/status\", pointer = \"/jobs/0\", zero_for = \"10s\" }"),
        number(Reading::Pointer { url: None, pointer: "/jobs/0".to_owned() }, Some(10))
    );
    assert_eq!(
        probe("[agent.status]\nurl = \"http://127.0.0.1:9090/metrics?all=1\"\nmetric = \"jobs\""),
        number(jobs(url(), BTreeMap::new()), None)
    );
    assert_eq!(
        probe(
            "[agent.status]\nmetric = \"jobs\"\n[agent.status.labels]\nqueue = \"a \\\"b\\\"\"\nstate = \"\""
        ),
        number(jobs(None, labels(&[("queue", "a \"b\""), ("state", "")])), None)
    );
    assert_eq!(
        probe("command = \"/bin/drain\"\nstatus = { processes = \"Runner.Worker\", zero_for = \"10s\" }"),
        number(Reading::Processes("Runner.Worker".to_owned()), Some(10))
    );
    assert_eq!(
        probe(
            "command = \"/bin/drain\"\nstatus.command = [\"/bin/busy\", \"-q\"]\nstatus.zero_for = \"15s\""
        ),
        number(Reading::Command(vec!["/bin/busy".to_owned(), "-q".to_owned()]), Some(15))
    );
}

/// Labels are written in a variable as in the file, and `drainhook config` prints them so.
#[test]
fn labels_in_a_variable() {
    let metric = ("DRAINHOOK_AGENT__STATUS__METRIC", "jobs");
    let written = r#"{ queue = "default", state = "a \"b\"" }"#;
    let loaded = load("", &[metric, ("DRAINHOOK_AGENT__STATUS__LABELS", written)]).expect("good");
    let of_variable = loaded.config.agents[0].probe.clone();
    let expected = labels(&[("queue", "default"), ("state", "a \"b\"")]);
    assert!(
        matches!(&of_variable, Some(Probe::Number { reading: Reading::Metric { labels, .. }, .. }) if *labels == expected),
        "{of_variable:?}"
    );
    assert!(loaded.to_toml().contains(&format!("status.labels = {written}")), "{}", loaded.to_toml());
    let again = config(&loaded.to_toml(), &[]);
    assert_eq!(again.agents[0].probe, of_variable);
    for bad in
        ["queue", "[\"queue\"]", "{ queue = 1 }", "{ 1a = \"x\" }", "{ \"a b\" = \"x\" }", "{ queue = \"a\" "]
    {
        let told = problems("", &[metric, ("DRAINHOOK_AGENT__STATUS__LABELS", bad)]);
        assert!(told.contains("written like { queue = \"default\" }"), "{told}");
    }
}

/// Values that no probe can have.
#[test]
fn wrong_values() {
    for (key, value, expected) in [
        ("pointer", "jobs", "a JSON pointer such as `/jobs/running`"),
        ("pointer", "/a~2", "a JSON pointer such as"),
        ("metric", "jobs{}", "the name of a metric"),
        ("metric", "9jobs", "the name of a metric"),
        ("processes", "/usr/bin/worker", "the name of a program, without its folder"),
        ("zero_for", "500ms", "a duration from 1s to 1h"),
        ("url", "https://127.0.0.1/", "by plain HTTP; write http://"),
        ("url", "http://127.0.0.1/#a", "fragment"),
        ("url", "/metrics", "it is not a URL"),
        ("command", "busy", "the path of its program is not absolute"),
    ] {
        let told = problems(&format!("[agent.status]\n{key} = \"{value}\""), &[]);
        assert!(told.contains(&format!("`agent.status.{key}`")) && told.contains(expected), "{told}");
    }
}

/// Keys that contradict each other, or mean nothing together.
#[test]
fn contradictions() {
    const NUMBERS: &str =
        "`agent.status.pointer`, `agent.status.metric`, `agent.status.processes` or `agent.status.command`";
    let only = |kinds: &str, key: &str| {
        format!("`agent.{key}` means nothing without {kinds}; set that, or remove it")
    };
    let both = |one: &str, other: &str, what: &str, line: usize| {
        format!("`agent.{other}` and `agent.{one}` (test.toml:{line}) both say {what}; keep one of them")
    };
    let place = "where its status is";
    for (keys, expected) in [
        (
            "status.pointer = \"/a\"\nstatus.metric = \"a\"",
            both("status.pointer", "status.metric", "how its work in flight is read", 2),
        ),
        (
            "status.path = \"/a\"\nstatus.url = \"http://127.0.0.1/\"",
            both("status.path", "status.url", place, 2),
        ),
        ("status.path = \"/a\"\nstatus.processes = \"a\"", both("status.path", "status.processes", place, 2)),
        (
            "status.url = \"http://127.0.0.1/\"\nstatus.command = \"/a\"",
            both("status.url", "status.command", place, 2),
        ),
        (
            "drain.blocks = true\nstatus.pointer = \"/a\"",
            both("drain.blocks", "status.pointer", "when the agent has drained", 2),
        ),
        (
            "status.pointer = \"/a\"\nstatus.labels = { a = \"b\" }",
            only("`agent.status.metric`", "status.labels"),
        ),
        ("status.url = \"http://127.0.0.1/\"\nstatus.zero_for = \"10s\"", only(NUMBERS, "status.zero_for")),
        ("command = \"/a\"\nstatus.processes = \"a\"", only("`agent.status.zero_for`", "status.processes")),
        (
            "command = \"/a\"\nstatus = { metric = \"a\", zero_for = \"10s\" }",
            only("`agent.status.url`", "status.metric"),
        ),
        (
            "command = \"/a\"\nstatus.url = \"http://127.0.0.1/\"",
            only("`agent.status.pointer` or `agent.status.metric`", "status.url"),
        ),
        ("unit = \"a.service\"\nstatus.metric = \"a\"", only("`agent.status.url`", "status.metric")),
        (
            "unit = \"a.service\"\ndrain.start = \"b.service\"\nstatus.processes = \"a\"",
            only("`agent.status.zero_for`", "status.processes"),
        ),
    ] {
        let told = problems(&format!("[agent]\n{keys}"), &[]);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines.len() == 1 && told.ends_with(&expected), "{told}\nexpected {expected}");
    }
    probe("drain.blocks = false\nstatus.pointer = \"/a\"");
    // The end of the unit ends the drain, and the number is only shown.
    probe("unit = \"a.service\"\nstatus.processes = \"a\"");
}

/// The page of a probe is on this machine, or on the host that the agent is on.
#[test]
fn hosts() {
    let told = problems(
        "[agent]\nunix = \"/run/a.sock\"\nstatus.url = \"http://10.0.0.1/\"\nstatus.pointer = \"/a\"",
        &[],
    );
    assert!(
        told.starts_with("test.toml:3: `agent.status.url` names the host 10.0.0.1, which is not loopback"),
        "{told}"
    );
    let remote = "url = \"http://10.0.0.1\"\nallow_host = \"10.0.0.1\"\nstatus.url = \"http://10.0.0.1:9/\"";
    assert!(probe(remote).is_some());
}

/// Probes that work, but with which a drain lasts longer than the user expects.
#[test]
fn warnings() {
    let warnings = |keys: &str| load(&format!("[agent]\n{keys}"), &[]).expect("good").warnings().join("\n");
    let endless = "every drain lasts until its deadline, because agent.status.pointer only reports a number";
    assert!(warnings("status.pointer = \"/a\"").starts_with(endless));
    assert_eq!(warnings("status.pointer = \"/a\"\nstatus.zero_for = \"10s\""), "");
    assert_eq!(warnings("status.pointer = \"/a\"\non_exit = \"drained\""), "");
    let unseen = "agent.on_exit has no effect because the agent's status is not read at the agent itself";
    assert!(
        warnings("on_exit = \"drained\"\nstatus.processes = \"a\"\nstatus.zero_for = \"10s\"")
            .starts_with(unseen)
    );
    let get = "drain.method = \"GET\"\nstatus.zero_for = \"10s\"";
    assert!(
        warnings(&format!("{get}\nstatus.pointer = \"/a\"")).contains("both drains the agent and requests")
    );
    assert_eq!(warnings(&format!("{get}\nstatus.processes = \"a\"")), "");
}
