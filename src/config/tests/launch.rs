//! The launching hook, and how an agent shows that it is ready.

use super::*;

#[test]
fn defaults_of_a_launch() {
    let config = config("[launch]\nhook = \"warm-up\"", &[]);
    let Launch { hook, times, timeout } = config.launch;
    assert_eq!((hook.as_deref(), times, timeout), (Some("warm-up"), 3, Duration::from_secs(600)));
    assert_eq!(config.agents[0].ready, Ready::Request("/health".to_owned()));
    let config = super::config("[agent]\nunit = \"worker.service\"", &[]);
    assert_eq!((config.launch.hook, config.agents[0].ready.clone()), (None, Ready::Active));
}

/// Nothing shows that an agent is ready if only a command that drains it is known.
#[test]
fn agents_of_which_nothing_shows_that_they_are_ready() {
    let agent = "[agent]\ncommand = \"/opt/drain\"";
    assert_eq!(config(agent, &[]).agents[0].ready, Ready::Unknown);
    let launch = "[launch]\nhook = \"warm-up\"";
    let problems = problems(&format!("{agent}\n{launch}"), &[]);
    assert_eq!(
        problems,
        "test.toml:4: `launch.hook` needs `agent.ready.command` for an agent with `agent.command`; set it"
    );
    let whole = config(&format!("{agent}\nready.command = \"/opt/ready\"\n{launch}"), &[]);
    assert_eq!(whole.agents[0].ready, Ready::Command(vec!["/opt/ready".to_owned()]));
}

#[test]
fn time_is_too_short() {
    let text = |timeout: &str| format!("[launch]\nhook = \"warm-up\"\ntimes = 60\ntimeout = \"{timeout}\"");
    assert_eq!(
        problems(&text("69s"), &[]),
        "test.toml:2: `launch.timeout` (69s) is too short for `launch.times` (60), with a second between two answers; set it to 70s \
         or more"
    );
    assert_eq!(config(&text("70s"), &[]).launch.times, 60);
}

#[test]
fn one_hook_for_both() {
    let problems = problems("[lifecycle]\nhook = \"drain\"\n[launch]\nhook = \"drain\"", &[]);
    assert_eq!(
        problems,
        "test.toml:4: `launch.hook` and `lifecycle.hook` are both drain; a hook is for one of the two"
    );
}

#[test]
fn two_ways_to_be_ready() {
    let problems = problems("[agent]\nready = { path = \"/up\", command = \"/opt/ready\" }", &[]);
    assert!(
        problems.ends_with("both say how the agent shows that it is ready; keep one of them"),
        "{problems:?}"
    );
}
