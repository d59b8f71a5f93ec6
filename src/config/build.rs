//! Builds the configuration from the settings, and checks keys against each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use url::{Host, Url};

use super::after;
use super::force;
use super::header::{self, Given};
use super::keys::{self, KEYS, WhenUnset};
use super::launch;
use super::layers::{Layers, SHOWN_MAX};
use super::probe;
use super::protection;
use super::queue;
use super::target_group;
use super::template::{OF_DRAIN, OF_EVERY_REQUEST};
use super::value::{Kind, Value};
use super::{
    Address, Agent, AgentKind, Aws, Body, CommandAgent, Config, ConfigError, Control, DrainAt, HttpAgent,
    Imds, Instance, Journal, Lifecycle, Loaded, Log, LogFormat, Method, OnExit, OnNotice, Origin, Problem,
    Request, Setting, Simulation, Template, UnitAgent, UnitDrain,
};
use crate::clock::Scale;
use formats::text::printable;
use machine::effect::CompletionResult;

/// Builds the configuration, or reports every problem that was found.
pub(super) fn build(mut layers: Layers) -> Result<Loaded, ConfigError> {
    layers.agents = layers.agents.max(1);
    // A key that is wrong falls back to its default here, which would make different agents look alike.
    let as_written = layers.problems.is_empty();
    let mut agents: Vec<Agent> = Vec::new();
    for index in 0..layers.agents {
        let agent = agent(&Table { layers: &layers, place: index, section: "agent" });
        if as_written && let Some(problem) = check_unique(&layers, &agents, &agent) {
            layers.tell(|| problem);
        }
        let problems = check_kind(&layers, index).into_iter().chain(check_http(&layers, index, &agent.kind));
        let problems = problems.chain(check_requests(&layers, index));
        let problems = problems.chain(force::check(&layers, index, agent.drain_timeout, &agent.kind));
        let problems = problems.chain(launch::check_agent(&layers, index, &agent.ready));
        for problem in problems.chain(probe::check(&layers, index, &agent.kind)) {
            layers.tell(|| problem);
        }
        agents.push(agent);
    }
    let problems = after::check(&layers).into_iter().chain(target_group::check(&layers));
    let problems = problems.chain(launch::check(&layers)).chain(queue::check(&layers));
    let problems = problems.chain(protection::check(&layers, &agents));
    for problem in problems.collect::<Vec<_>>() {
        layers.tell(|| problem);
    }
    if !layers.problems.is_empty() {
        return Err(ConfigError::Invalid(layers.problems));
    }
    let (config, origins) = (config(&layers, agents), origins(&layers));
    Ok(Loaded { config, origins, ignored: layers.ignored })
}

fn config(layers: &Layers, agents: Vec<Agent>) -> Config {
    let table = |section| Table { layers, place: 0, section };
    let lifecycle = table("lifecycle");
    let log = table("log");
    Config {
        agents,
        after: after::steps(layers),
        target_groups: target_group::target_groups(layers),
        queue: queue::queue(layers),
        lifecycle: Lifecycle {
            hook: lifecycle.optional("hook"),
            group: lifecycle.optional("group"),
            drain_at: drain_at(&lifecycle.word("drain_at")),
            on_drained: completion_result(&lifecycle.word("on_drained")),
            on_deadline: completion_result(&lifecycle.word("on_deadline")),
            on_failed: completion_result(&lifecycle.word("on_failed")),
            on_rebalance: on_notice(&lifecycle.word("on_rebalance")),
            on_standby: on_notice(&lifecycle.word("on_standby")),
            on_detachment: on_notice(&lifecycle.word("on_detachment")),
            capacity_reservation: lifecycle.optional("capacity_reservation"),
            heartbeat_timeout: lifecycle.optional("heartbeat_timeout"),
        },
        launch: launch::launch(layers),
        protection: protection::protection(layers),
        imds: Imds { poll: table("imds").required("poll") },
        aws: Aws { allow_http: table("aws").optional("allow_http").unwrap_or_default() },
        instance: Instance { id: table("instance").optional("id") },
        control: Control { socket: table("control").required("socket") },
        journal: Journal { dir: table("journal").required("dir") },
        log: Log {
            format: log_format(&log.word("format")),
            level: tracing::Level::from_str(&log.word("level")).unwrap_or(tracing::Level::INFO),
        },
        simulation: Simulation { clock: table(keys::SIMULATION).optional("clock") },
    }
}

fn agent(table: &Table<'_>) -> Agent {
    let kind = if let Some(drain) = table.optional("command") {
        AgentKind::Command(CommandAgent { drain, back: table.optional("return.command") })
    } else if let Some(unit) = table.optional("unit") {
        AgentKind::Unit(UnitAgent { unit, drain: unit_drain(table), poll: table.required("poll") })
    } else {
        AgentKind::Http(Box::new(http_agent(table)))
    };
    Agent {
        name: table.optional("name").unwrap_or_else(|| kind.to_string()),
        preset: table.optional("preset"),
        drain_timeout: table.required("drain_timeout"),
        unreachable_grace: table.required("unreachable_grace"),
        order: table.required("order"),
        ready: launch::ready(table, &kind),
        kind,
        force: force::force(table),
        probe: probe::probe(table),
    }
}

fn http_agent(table: &Table<'_>) -> HttpAgent {
    let drain_path: String = table.required("drain.path");
    HttpAgent {
        address: match table.optional("unix") {
            Some(path) => Address::Unix(path),
            None => Address::Url(table.required("url")),
        },
        on_exit: on_exit(&table.word("on_exit")),
        poll: table.required("poll"),
        status_path: table.optional("status.path").unwrap_or_else(|| drain_path.clone()),
        back: Request {
            method: method(&table.word("return.method")),
            path: table.optional("return.path").unwrap_or_else(|| drain_path.clone()),
            body: text(table.optional("return.body")),
            success: table.optional("return.success").unwrap_or_default(),
        },
        drain: Request {
            method: method(&table.word("drain.method")),
            path: drain_path,
            body: table
                .optional("drain.body")
                .map_or(Body::Document, |text: String| Body::Text(Template::new(text))),
            success: table.optional("drain.success").unwrap_or_default(),
        },
        headers: header::valid(table.optional("headers").unwrap_or_default()),
        drain_blocks: table.required("drain.blocks"),
        token_file: table.optional("token_file"),
        user: table.optional::<String>("user").and_then(|user| user.parse().ok()),
    }
}

fn unit_drain(table: &Table<'_>) -> UnitDrain {
    match (table.optional("drain.signal"), table.optional("drain.start")) {
        (Some(signal), _) => UnitDrain::Signal(signal),
        (None, Some(oneshot)) => UnitDrain::Start(oneshot),
        (None, None) => UnitDrain::Stop,
    }
}

fn on_exit(word: &str) -> OnExit {
    if word == "drained" { OnExit::Drained } else { OnExit::Failed }
}

pub(super) fn method(word: &str) -> Method {
    Method::named(word).unwrap_or(Method::Post)
}

/// The text of a body. Empty without one.
pub(super) fn text(body: Option<String>) -> Template {
    Template::new(body.unwrap_or_default())
}

fn drain_at(word: &str) -> DrainAt {
    if word == "wait" { DrainAt::Wait } else { DrainAt::Notice }
}

fn on_notice(word: &str) -> OnNotice {
    if word == "drain" { OnNotice::Drain } else { OnNotice::Ignore }
}

fn completion_result(word: &str) -> CompletionResult {
    if word == "ABANDON" { CompletionResult::Abandon } else { CompletionResult::Continue }
}

fn log_format(word: &str) -> LogFormat {
    match word {
        "json" => LogFormat::Json,
        "text" => LogFormat::Text,
        _ => LogFormat::Auto,
    }
}

/// Refuses an agent whose address or name an earlier agent has.
fn check_unique(layers: &Layers, earlier: &[Agent], agent: &Agent) -> Option<Problem> {
    let name = |index: usize| {
        let given = layers.given.get(&(index, "agent", "name"));
        given.map_or_else(|| format!("[[agent]] {}", index + 1), |given| given.text.clone())
    };
    let address = place(agent);
    if let Some(index) = earlier.iter().position(|other| place(other) == address) {
        return Some(Problem::SameAddress { first: name(index), second: name(earlier.len()), address });
    }
    let same_name = earlier.iter().any(|other| other.name == agent.name);
    same_name.then(|| Problem::SameName { name: agent.name.clone() })
}

/// What drains an agent, normalized for comparison. The path counts, because one server may have several agents.
fn place(agent: &Agent) -> String {
    match &agent.kind {
        AgentKind::Http(http) => match &http.address {
            Address::Url(url) => one_spelling(&format!("{url}{}", http.drain.path)),
            Address::Unix(path) => {
                let path: PathBuf = path.components().collect();
                format!("{} on {}", http.drain.path, path.display())
            }
        },
        AgentKind::Command(CommandAgent { drain, .. }) => format!("{drain:?}"),
        AgentKind::Unit(UnitAgent { unit, .. }) => unit.clone(),
    }
}

/// Normalizes a URL's host: `localhost` becomes 127.0.0.1, to which the daemon connects, and an IPv4-mapped IPv6 address
/// becomes IPv4.
fn one_spelling(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    let ip = match url.host() {
        Some(Host::Domain(name)) if name.eq_ignore_ascii_case("localhost") => {
            Some(Ipv4Addr::LOCALHOST.into())
        }
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip).to_canonical()),
        Some(Host::Domain(_) | Host::Ipv4(_)) | None => None,
    };
    if let Some(ip) = ip {
        // An `http://` URL accepts any IP address.
        let _ = url.set_ip_host(ip);
    }
    url.into()
}

/// Refuses an agent of two kinds, and keys that mean nothing for its kind.
fn check_kind(layers: &Layers, agent: usize) -> Vec<Problem> {
    let given = |name: &'static str| {
        layers.given.get(&(agent, "agent", name)).map(|given| (name, given.origin.clone()))
    };
    let mut kinds = keys::AGENT_KINDS.into_iter().filter_map(given);
    let kind = kinds.next();
    if let (Some(one), Some(other)) = (&kind, kinds.next()) {
        for (preset, own) in [(one, &other), (&other, one)] {
            if let Origin::Preset(name) = &preset.1 {
                let (origin, preset) = (own.1.clone(), (name.clone(), preset.0));
                return vec![Problem::PresetKind { origin, key: own.0, preset }];
            }
        }
        return vec![Problem::Both { one: one.clone(), other, what: "how the agent is reached" }];
    }
    if let (Some(one), Some(other)) = (given("drain.signal"), given("drain.start")) {
        return vec![Problem::Both { one, other, what: "how the unit drains" }];
    }
    let kind = kind_of(layers, agent);
    let idle = KEYS.iter().filter(|key| key.section == "agent" && !keys::applies(key.name, kind));
    let idle = idle.filter_map(|key| given(key.name));
    idle.map(|(key, origin)| Problem::IdleKey { origin, key, kinds: keys::kinds_of(key) }).collect()
}

/// The key that sets the agent's kind.
fn kind_of(layers: &Layers, agent: usize) -> &'static str {
    let given = |name: &&str| layers.given.contains_key(&(agent, "agent", *name));
    keys::AGENT_KINDS.into_iter().find(given).unwrap_or("url")
}

/// Refuses hosts that are neither loopback nor in `allow_host`, and the daemon's own socket as the agent's.
fn check_http(layers: &Layers, agent: usize, kind: &AgentKind) -> Option<Problem> {
    let AgentKind::Http(http) = kind else { return None };
    let given = |name| layers.given.get(&(agent, "agent", name));
    match &http.address {
        Address::Unix(socket) => {
            let own: PathBuf = Table { layers, place: 0, section: "control" }.required("socket");
            (own == *socket).then_some(Problem::OwnSocket { socket: own })
        }
        Address::Url(_) => {
            let host = http.address.remote_host()?;
            let origin = given("url").map_or(Origin::Default, |url| url.origin.clone());
            (!is_allowed(layers, agent, &host)).then_some(Problem::RemoteHost { origin, host })
        }
    }
}

/// Whether `allow_host` names this host.
pub(super) fn is_allowed(layers: &Layers, agent: usize, host: &str) -> bool {
    let allowed = layers.given.get(&(agent, "agent", "allow_host"));
    allowed.is_some_and(|allowed| allowed.text.trim_matches(['[', ']']).eq_ignore_ascii_case(host))
}

/// Refuses headers that cannot be sent, and placeholders that have no value.
fn check_requests(layers: &Layers, agent: usize) -> Vec<Problem> {
    let given = |name| layers.given.get(&(agent, "agent", name));
    let mut problems = Vec::new();
    if let Some((Value::Headers(headers), origin)) = given("headers").map(|one| (&one.value, &one.origin)) {
        problems.extend(header::problems(headers, given("token_file").is_some(), origin));
    }
    for (key, known) in
        [("drain.body", OF_DRAIN), ("force.body", OF_DRAIN), ("return.body", OF_EVERY_REQUEST)]
    {
        let Some(body) = given(key) else { continue };
        if let Some(name) = Template::new(body.text.as_str()).unknown(known) {
            let (name, place) = (printable(name, SHOWN_MAX), format!("`agent.{key}`"));
            problems.push(Problem::Placeholder { origin: body.origin.clone(), place, name, known });
        }
    }
    problems
}

/// Every key with its effective value and its origin.
fn origins(layers: &Layers) -> Vec<Setting> {
    let mut settings = Vec::new();
    for section in keys::sections() {
        let count = match section {
            "agent" => layers.agents,
            _ if keys::is_list(section) => layers.count(section),
            _ => 1,
        };
        for place in 0..count {
            let kind = kind_of(layers, place);
            for key in KEYS.iter().filter(|key| key.section == section) {
                let given = layers.given.get(&(place, section, key.name));
                let (default, unset) = match key.default {
                    _ if section == "agent" && kind != "url" && !keys::applies(key.name, kind) => {
                        (None, keys::replaced_by(kind).to_owned())
                    }
                    WhenUnset::Is(text) => (Some(text.to_owned()), String::new()),
                    WhenUnset::IfUsed(text) => (None, format!("`{text}`")),
                    WhenUnset::Then(words) => (None, words.to_owned()),
                };
                settings.push(Setting {
                    section,
                    place,
                    key: key.name,
                    value: given.map(|given| given.text.clone()).or(default),
                    origin: given.map_or(Origin::Default, |given| given.origin.clone()),
                    quoted: match key.kind {
                        Kind::Flag | Kind::Number(_) | Kind::Port | Kind::Headers | Kind::Labels => false,
                        // A program without arguments need not be a list.
                        Kind::Command => given.is_some_and(|given| !given.text.starts_with('[')),
                        _ => true,
                    },
                    unset,
                });
            }
        }
    }
    settings
}

/// Reads typed values of one section. A key that is not in the list panics; a test builds every key.
pub(super) struct Table<'a> {
    pub layers: &'a Layers,
    /// Which of the section's tables. 0 if it can have only one.
    pub place: usize,
    pub section: &'static str,
}

impl Table<'_> {
    pub fn optional<T: FromValue>(&self, name: &'static str) -> Option<T> {
        let given = self.layers.given.get(&(self.place, self.section, name));
        let value = given.map(|given| given.value.clone()).or_else(|| {
            let key = keys::find(self.section, name).expect("the key is in the list");
            match key.default {
                WhenUnset::Is(text) | WhenUnset::IfUsed(text) => key.kind.parse(text).ok(),
                WhenUnset::Then(_) => None,
            }
        });
        value.map(|value| T::from_value(value).expect("the list gives the key this kind"))
    }

    pub fn required<T: FromValue>(&self, name: &'static str) -> T {
        self.optional(name).expect("the list gives the key a default")
    }

    pub fn word(&self, name: &'static str) -> String {
        self.required(name)
    }
}

/// A type that the value of a key can be read as.
pub(super) trait FromValue: Sized {
    /// `None` if the value is of another kind.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($variant:ident => $type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
        }
    )*};
}

impl FromValue for Vec<String> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Hosts(items) | Value::Command(items) = value { Some(items) } else { None }
    }
}

from_value!(
    Text => String, Path => PathBuf, Flag => bool, Number => u8, Port => u16, Duration => Duration, Scale => Scale, Headers => Vec<Given>,
    Codes => Vec<u16>, Labels => BTreeMap<String, String>
);
