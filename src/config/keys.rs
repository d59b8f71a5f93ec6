//! The list of all configuration keys: name, accepted values, default.
//!
//! The check for unknown keys, the parsing of values, `drainhook config` and the table in docs/configuration.md all use this
//! list.

use std::fmt::Write as _;
use std::time::Duration;

use super::request::Method;
use super::value::Kind;
use super::{STEPS_MAX, TARGET_GROUPS_MAX, after, target_group};

/// One configuration key.
#[derive(Debug)]
pub struct Key {
    /// Its TOML table.
    pub section: &'static str,
    /// Its name in that table.
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Its value if it is not set.
    pub default: WhenUnset,
    /// What it means, in one line of Markdown.
    pub help: &'static str,
}

/// The value of a key that is not set.
#[derive(Debug, Clone, Copy)]
pub enum WhenUnset {
    /// This value.
    Is(&'static str),
    /// This value, but only once another key gives it a meaning. It is not part of the effective configuration.
    IfUsed(&'static str),
    /// No value. The words say what happens then.
    Then(&'static str),
}

impl Key {
    /// `section.name`, as errors and `drainhook config` write it.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("DRAINHOOK_{}__{}", self.section.to_uppercase(), self.name.to_uppercase().replace('.', "__"))
    }
}

/// The keys that say how an agent is reached. One of them sets its kind.
pub(super) const AGENT_KINDS: [&str; 4] = ["url", "unix", "unit", "command"];

/// The keys of an agent that every kind has.
const OF_EVERY_KIND: [&str; 15] = [
    "preset",
    "name",
    "drain_timeout",
    "unreachable_grace",
    "order",
    "status.url",
    "status.pointer",
    "status.metric",
    "status.labels",
    "status.processes",
    "status.command",
    "status.zero_for",
    "force.before",
    "force.command",
    "ready.command",
];

/// The kinds that a key of section `agent` has a meaning for.
pub(super) fn kinds_of(name: &str) -> &'static [&'static str] {
    match name {
        "command" | "return.command" => &["command"],
        "unit" | "drain.signal" | "drain.start" | "force.signal" => &["unit"],
        "poll" => &["url", "unix", "unit"],
        "unix" | "user" => &["unix"],
        "url" | "allow_host" => &["url"],
        _ if OF_EVERY_KIND.contains(&name) => &AGENT_KINDS,
        _ => &["url", "unix"],
    }
}

/// Whether a key of section `agent` has a meaning for an agent of this kind.
pub(super) fn applies(name: &str, kind: &str) -> bool {
    kinds_of(name).contains(&kind)
}

/// Why a key has no value for an agent of this kind.
pub(super) fn replaced_by(kind: &str) -> &'static str {
    match kind {
        "command" => "`command` is set",
        "unit" => "`unit` is set",
        _ => "`unix` is set",
    }
}

/// The sections besides `agent` that may have several tables, what these are, and how many there may be.
pub(super) const LISTS: [(&str, &str, usize); 2] =
    [(after::SECTION, "after steps", STEPS_MAX), (target_group::SECTION, "target groups", TARGET_GROUPS_MAX)];

/// Whether a section besides `agent` may have several tables, or none.
pub(super) fn is_list(section: &str) -> bool {
    LISTS.iter().any(|(name, _, _)| *name == section)
}

/// Finds a key by its section and name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// Whether a section has keys in a table of this name, such as `[agent.drain]`.
pub(super) fn is_table(section: &str, name: &str) -> bool {
    KEYS.iter()
        .any(|key| key.section == section && key.name.split_once('.').is_some_and(|(table, _)| table == name))
}

/// The names of the sections, in the order of the list.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections
}

/// The keys of any section that have this name.
pub(super) fn named(name: &str) -> Vec<&'static Key> {
    KEYS.iter().filter(|key| key.name == name).collect()
}

/// The candidate that a mistyped word most likely meant, if one is close enough.
pub(super) fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > TYPED_MAX {
        return None;
    }
    candidates
        .map(|candidate| (strsim::jaro_winkler(&typed.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The keys that an unknown key most likely meant: more than one if several sections have a key of that name. Users put a
/// right name into a wrong section more often than they misspell a name.
pub(super) fn suggest(section: &str, name: &str) -> Vec<&'static Key> {
    let section = nearest(section, sections().into_iter());
    let names = |of: Option<&'static str>| {
        let keys = KEYS.iter().filter(move |key| of.is_none_or(|section| key.section == section));
        keys.map(|key| key.name)
    };
    let of_section = |name: &str| section.and_then(|section| find(section, name)).map(|key| vec![key]);
    // A key of the whole agent, written into one of its tables.
    let of_agent = |name: &str| of_section(name.rsplit_once('.')?.1);
    let of_any = |name| Some(named(name)).filter(|keys| !keys.is_empty());
    of_section(name)
        .or_else(|| of_agent(name))
        .or_else(|| of_any(name))
        .or_else(|| section.and_then(|section| of_section(nearest(name, names(Some(section)))?)))
        .or_else(|| of_any(nearest(name, names(None))?))
        .unwrap_or_default()
}

/// Words longer than this many bytes get no suggestion. No key or section is nearly as long.
const TYPED_MAX: usize = 64;

/// The least similarity (Jaro-Winkler, 0 to 1) for a suggestion. Below it, suggestions mislead more often than they help.
const LIKENESS_MIN: f64 = 0.8;

/// The table of docs/configuration.md, as Markdown.
pub fn markdown() -> String {
    let mut table = String::from("| key | takes | default | |\n|---|---|---|---|\n");
    for key in KEYS.iter().filter(|key| key.section != SIMULATION) {
        let default = match key.default {
            WhenUnset::Is(value) | WhenUnset::IfUsed(value) => format!("`{value}`"),
            WhenUnset::Then(words) => words.to_owned(),
        };
        let takes = key.kind.expected().replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{}` | {takes} | {default} | {} |", key.path(), key.help);
    }
    table
}

/// The section that `drainhook simulate` sets for the daemons that it starts. Users do not set it.
pub const SIMULATION: &str = "simulation";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const POLL: Kind = Kind::Duration { min: Duration::from_millis(100), max: secs(60) };
const SIGNALS: &[&str] = &[
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGWINCH", "SIGPWR",
    "SIGALRM",
];
const RESULT: Kind = Kind::Choice(&["CONTINUE", "ABANDON"]);

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: WhenUnset,
    help: &'static str,
) -> Key {
    Key { section, name, kind, default, help }
}

/// Every key.
#[rustfmt::skip]
pub const KEYS: &[Key] = {
    use WhenUnset::{IfUsed, Is, Then};
    &[
        key("agent", "preset", Kind::Preset, Then("none"), "The preset for the agent's software, which fills in other keys of the agent. `drainhook presets` lists them."),
        key("agent", "url", Kind::AgentUrl, Is("http://127.0.0.1:8080"), "The agent's URL. It may have a path."),
        key("agent", "unix", Kind::SocketPath, Then("the agent is at `url`"), "The agent's Unix socket, instead of `url`."),
        key("agent", "user", Kind::User, Then("not checked"), "The user whose process must have opened `unix`, by name or id. The daemon sends nothing to processes of other users, except root."),
        key("agent", "unit", Kind::Unit, Then("the agent is at `url`"), "The systemd unit of the agent, instead of `url`. It is stopped, and has drained once it is inactive."),
        key("agent", "drain.signal", Kind::Choice(SIGNALS), Then("the unit is stopped"), "With `unit`: the signal that tells its main process to drain. A process gets it only once."),
        key("agent", "drain.start", Kind::Unit, Then("the unit is stopped"), "With `unit`: a oneshot unit that drains the agent. It is started, and the agent has drained once it has succeeded."),
        key("agent", "command", Kind::Command, Then("the agent is at `url`"), "The command that drains the agent, instead of `url`. It exits with 0 once the agent has drained, and with 75 to be run again."),
        key("agent", "return.command", Kind::Command, Then("the agent is not told"), "With `command`: the command that returns the agent to service if the instance stays."),
        key("agent", "name", Kind::Text, Then("its address or program"), "What logs call this agent."),
        key("agent", "drain_timeout", Kind::Duration { min: secs(1), max: secs(48 * 3600) }, Is("1h"), "How long a drain may take."),
        key("agent", "unreachable_grace", Kind::Duration { min: secs(1), max: secs(3600) }, Is("60s"), "How long the agent may stay unreachable, or its `command` or `drain.start` may fail, before the drain counts as failed."),
        key("agent", "order", Kind::Number(16), Is("1"), "When the agent is told to drain: once all agents with a lower order have drained, have failed, or have no time left. Its `drain_timeout` starts then."),
        key("agent", "on_exit", Kind::Choice(&["failed", "drained"]), Is("failed"), "What it means when the agent exits during a drain."),
        key("agent", "poll", POLL, Is("1s"), "How often the daemon polls an agent that ignores `Prefer: wait`, a unit, or a probe."),
        key("agent", "drain.path", Kind::HttpPath, Is("/drain"), "The path of the drain request, under the agent's URL."),
        key("agent", "status.path", Kind::HttpPath, Then("`drain.path`"), "The path of the status request, under the agent's URL."),
        key("agent", "status.url", Kind::StatusUrl, Then("`status.path` is used"), "The URL of the status or of the number in flight, if the agent's own URL does not serve it."),
        key("agent", "status.pointer", Kind::Pointer, Then("the agent's status is read"), "Where the number in flight is in a JSON document (RFC 6901). See [probes](agents.md#probes)."),
        key("agent", "status.metric", Kind::MetricName, Then("the agent's status is read"), "The Prometheus metric whose sum is the number in flight."),
        key("agent", "status.labels", Kind::Labels, Then("all series count"), "The labels of the metric's series that count."),
        key("agent", "status.processes", Kind::ProgramName, Then("the agent's status is read"), "The name of the processes that are counted as the number in flight."),
        key("agent", "status.command", Kind::Command, Then("the agent's status is read"), "The command that prints the number in flight as its last line."),
        key("agent", "status.zero_for", Kind::Duration { min: secs(1), max: secs(3600) }, Then("the number is only reported"), "The agent has drained once its number in flight has been 0 for this long."),
        key("agent", "drain.method", Kind::Choice(Method::NAMES), Is("POST"), "The HTTP method of the drain request."),
        key("agent", "drain.blocks", Kind::Flag, Is("false"), "Whether the agent answers the drain request only when its work is done."),
        key("agent", "drain.body", Kind::Body, Then("the agent protocol's document"), "The body of the drain request, with `{reason}`, `{deadline}` and `{instance_id}`. Empty: none."),
        key("agent", "drain.success", Kind::Codes, Then("2xx only"), "Further status codes with which the agent accepts the drain request."),
        key("agent", "return.method", Kind::Choice(Method::NAMES), Is("DELETE"), "The HTTP method of the request that returns the agent to service."),
        key("agent", "return.path", Kind::HttpPath, Then("`drain.path`"), "The path of that request, under the agent's URL."),
        key("agent", "return.body", Kind::Body, Then("none"), "The body of that request, with `{instance_id}`."),
        key("agent", "return.success", Kind::Codes, Then("2xx only"), "Further status codes with which the agent accepts that request."),
        key("agent", "force.before", Kind::Duration { min: secs(1), max: secs(3600) }, IfUsed("30s"), "How long before the agent's deadline its work is ended, if it has not drained. See [the force step](agents.md#the-force-step)."),
        key("agent", "force.signal", Kind::Choice(SIGNALS), Then("the agent works until its deadline"), "With `unit`: the signal to its main process that ends the work."),
        key("agent", "force.command", Kind::Command, Then("the agent works until its deadline"), "The command that ends the agent's work."),
        key("agent", "force.path", Kind::HttpPath, Then("the agent works until its deadline"), "The path of the request that ends the agent's work, under its URL."),
        key("agent", "force.method", Kind::Choice(Method::NAMES), IfUsed("POST"), "The HTTP method of that request."),
        key("agent", "force.body", Kind::Body, Then("none"), "The body of that request, with `{reason}`, `{deadline}` and `{instance_id}`."),
        key("agent", "force.success", Kind::Codes, Then("2xx only"), "Further status codes with which the agent accepts that request."),
        key("agent", "ready.path", Kind::HttpPath, Is("/health"), "The path of the request that the agent answers with 2xx once it is ready. Only for [launches](agents.md#launches)."),
        key("agent", "ready.command", Kind::Command, Then("`ready.path` is used, or the unit is active"), "The command that exits with 0 once the agent is ready. Required with `command` if `launch.hook` is set."),
        key("agent", "headers", Kind::Headers, Then("none"), "Headers of every request to the agent. A value is text, or `{ file = \"/path\" }` for a secret."),
        key("agent", "token_file", Kind::Path, Then("no token is sent"), "A file with the bearer token that the agent requires."),
        key("agent", "allow_host", Kind::Text, Then("loopback only"), "The one host besides loopback that `url` may name."),
        key("after", "command", Kind::Command, Then("nothing runs"), "In `[[after]]`: a command that runs once all agents are done, before the lifecycle action is completed."),
        key("after", "timeout", Kind::Duration { min: secs(1), max: secs(600) }, Is("30s"), "How long that command may run."),
        key("target_group", "arn", Kind::TargetGroupArn, Then("no target is deregistered"), "In `[[target_group]]`: a target group that the Auto Scaling group does not manage. The instance is deregistered when the agents are told to drain. See [target groups](agents.md#target-groups)."),
        key("target_group", "target", Kind::IpAddress, Then("this instance's id"), "The target, if it is not the instance: an IP address."),
        key("target_group", "port", Kind::Port, Then("the target group's"), "The port of the target, if it was registered with another port than the target group's."),
        key("target_group", "timeout", Kind::Duration { min: secs(1), max: secs(2 * 3600) }, Is("5m"), "How long the completion waits for the load balancer. Set it to more than the deregistration delay."),
        key("queue", "url", Kind::QueueUrl, Then("no queue is used"), "The termination queue of the group."),
        key("queue", "listen", Kind::Choice(&["at_notice", "always"]), Is("at_notice"), "When the daemon asks the queue: once IMDS announces a lifecycle action or is silent (`at_notice`), or all the time. Set `always` in a group in an interruptible capacity reservation or a Capacity Block, or whose root volumes are replaced. See [reserved capacity](install.md#reserved-capacity)."),
        key("lifecycle", "hook", Kind::HookName, Then("the group's only terminating hook that no other controller owns"), "The termination hook to complete."),
        key("lifecycle", "group", Kind::GroupName, Then("detected"), "The Auto Scaling group of this instance."),
        key("lifecycle", "drain_at", Kind::Choice(&["notice", "wait"]), Is("notice"), "When draining starts: at the first notice, or when the load balancer is done and the hook waits."),
        key("lifecycle", "on_drained", RESULT, Is("CONTINUE"), "The result reported when the agent has drained."),
        key("lifecycle", "on_deadline", RESULT, Is("CONTINUE"), "The result reported when the time is up."),
        key("lifecycle", "on_failed", RESULT, Is("CONTINUE"), "The result reported when the agent could not be drained."),
        key("lifecycle", "on_rebalance", Kind::Choice(&["drain", "ignore"]), Is("ignore"), "What to do at a rebalance recommendation. Set `drain` if Capacity Rebalancing is on: only then does Auto Scaling replace the instance."),
        key("lifecycle", "on_standby", Kind::Choice(&["drain", "ignore"]), Is("ignore"), "What to do while the instance is in standby. With `drain`, the agents return to service when the instance does."),
        key("lifecycle", "on_detachment", Kind::Choice(&["drain", "ignore"]), Is("ignore"), "What to do while the instance is detached from its group. With `drain`, the agents return to service once the instance is attached to a group."),
        key("lifecycle", "capacity_reservation", Kind::ReservationId, Then("the daemon ignores the end of a Capacity Block"), "The Capacity Block that the instance runs in. Needs `queue.listen = \"always\"`."),
        key("lifecycle", "heartbeat_timeout", Kind::Duration { min: secs(30), max: secs(7200) }, Then("`30s`"), "The hook's heartbeat timeout, used only if the hook cannot be read."),
        key("launch", "hook", Kind::HookName, Then("no launch is completed"), "The launching hook that the daemon completes once all agents are ready. See [launches](agents.md#launches)."),
        key("launch", "times", Kind::Number(60), Is("3"), "How many times in a row, a second apart, all agents must be ready."),
        key("launch", "timeout", Kind::Duration { min: secs(10), max: secs(48 * 3600) }, Is("10m"), "After this time the launch is abandoned, and Auto Scaling replaces the instance."),
        key("protection", "when_busy", Kind::Flag, Is("false"), "Whether the instance is protected from scale-in while its agents have work in flight. See [busy protection](agents.md#busy-protection)."),
        key("protection", "busy_for", Kind::Duration { min: secs(3), max: secs(3600) }, Is("30s"), "How long the agents must have had work in flight before the instance is protected."),
        key("protection", "idle_for", Kind::Duration { min: secs(1), max: secs(24 * 3600) }, Is("5m"), "How long the agents must have had no work in flight before the protection is lifted."),
        key("protection", "longest", Kind::Duration { min: secs(60), max: secs(48 * 3600) }, Is("50m"), "After this time the protection is lifted in any case, so that an instance refresh or a scale-in gets its turn."),
        key("imds", "poll", POLL, Is("1s"), "How often the instance metadata service is polled."),
        key("aws", "allow_http", Kind::Hosts, Then("loopback and link-local only"), "Hosts that may stand in for AWS over plain HTTP, such as LocalStack in another container."),
        key("instance", "id", Kind::InstanceId, Then("detected"), "This instance's id, used only while the metadata service does not answer."),
        key("control", "socket", Kind::SocketPath, Is("/run/drainhook/drainhook.sock"), "The socket of `drainhook status`, `drain`, `extend` and `finish`."),
        key("journal", "dir", Kind::Path, Is("/var/lib/drainhook"), "The folder of the journal, which records a drain under way."),
        key("log", "format", Kind::Choice(&["auto", "json", "text"]), Is("auto"), "The format of log lines. `auto` is text on a terminal, journald's own fields if standard error goes to journald, else JSON."),
        key("log", "level", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), Is("info"), "The least severe level that is logged. Packages log nothing at `trace` that they do not log at `debug`."),
        key(SIMULATION, "clock", Kind::Scale, Then("real time"), "How simulated time runs. Set by `drainhook simulate`."),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid() {
        for key in KEYS {
            if let WhenUnset::Is(text) | WhenUnset::IfUsed(text) = key.default {
                assert!(key.kind.parse(text).is_ok(), "{}", key.path());
            }
        }
    }

    #[test]
    fn each_key_once_and_sections_together() {
        let mut paths: Vec<_> = KEYS.iter().map(Key::path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), KEYS.len());
        let mut sorted = sections();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), sections().len(), "a section is split in two");
    }

    #[test]
    fn nearest_key_or_none() {
        let agent = || KEYS.iter().filter(|key| key.section == "agent").map(|key| key.name);
        assert_eq!(nearest("drain_timout", agent()), Some("drain_timeout"));
        assert_eq!(nearest("URL", agent()), Some("url"));
        assert_eq!(nearest("zzz", agent()), None);
    }

    #[test]
    fn markdown_has_a_row_for_each_key_a_user_may_set() {
        let table = markdown();
        assert!(table.contains("| `agent.drain_timeout` | a duration from 1s to 48h | `1h` |"), "{table}");
        assert!(table.contains("CONTINUE"), "{table}");
        assert!(!table.contains("simulation"), "{table}");
        assert_eq!(table.lines().count(), KEYS.len() - 1 + 2);
    }
}
