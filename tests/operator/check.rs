//! `drainhook check`: each part that can be down, and that a check changes nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use drainhook::daemon::journal::JournalFile;
use machine::status::State;
use serde_json::Value;
use sim::world::{ActionResult, AgentMode, Happening, HookSpec, ImdsMode, WorldConfig};

use crate::support::command::{Ran, run};
use crate::support::daemon::{Stage, Variables, completed, told, worked};
use crate::support::{Request, Server, answer, closed_port, ok, tls};
use crate::{named, stuck_world, world};

/// Credentials for when IMDS provides none.
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIA0"), ("AWS_SECRET_ACCESS_KEY", "secret")];

fn variables(stage: &Stage, settings: &[(&'static str, &str)]) -> Variables {
    let mut variables = stage.variables(&stage.instance());
    variables.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    variables
}

/// The row of a part.
pub fn row(ran: &Ran, part: &str) -> Value {
    let found = ran.lines().into_iter().find(|line| line["part"] == part);
    found.unwrap_or_else(|| panic!("no {part} in {ran:?}"))
}

/// Runs `check` in a world with these settings. The part's row must have this state, and its advice must contain this text.
pub async fn expect(
    stage: &Stage,
    settings: &[(&'static str, &str)],
    part: &str,
    state: &str,
    advice: &str,
) -> Ran {
    let ran = run(&variables(stage, settings), &["check", "--json"]).await;
    let row = row(&ran, part);
    assert_eq!(row["state"], state, "{row}");
    assert!(row["advice"].to_string().contains(advice), "{advice:?} is not in {row}");
    let failed = ran.lines().iter().any(|line| line["state"] == "failed");
    assert_eq!(ran.code, Some(i32::from(failed)), "{ran:?}");
    ran
}

#[tokio::test]
async fn all_is_well() {
    let stage = Stage::new(1, world(3, 30)).await;
    let _daemon = stage.daemon().await;
    let ran = run(&variables(&stage, &[]), &["check"]).await;
    assert_eq!(named(&stage, &ran.out), include_str!("expected/check.txt"), "{}", ran.err);
    assert_eq!(ran.code, Some(0));
}

/// Everything is in place, but the daemon is not running.
#[tokio::test]
async fn no_daemon() {
    let stage = Stage::new(1, world(3, 30)).await;
    let ran = expect(&stage, &[], "daemon", "failed", "there is no socket").await;
    let bad = ran.lines().into_iter().filter(|line| line["state"] != "ok").count();
    assert_eq!((bad, ran.code), (1, Some(1)), "{ran:?}");
}

#[tokio::test]
async fn bad_configuration() {
    let variables = Variables::from([("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "soon".to_owned())]);
    let ran = run(&variables, &["check"]).await;
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.err.contains("DRAINHOOK_AGENT__DRAIN_TIMEOUT: `agent.drain_timeout` is \"soon\""), "{ran:?}");
}

#[tokio::test]
async fn agents() {
    let stage = Stage::new(1, world(3, 30)).await;
    let instance = stage.instance();
    let set = |mode| stage.service.world(|world, now| world.set_agent_mode(now, &instance, mode));
    set(AgentMode::Fails(404));
    expect(&stage, &[], "agent", "failed", "docs/agent-protocol.md").await;
    set(AgentMode::Fails(500));
    expect(&stage, &[], "agent", "failed", "accepts connections, but").await;
    let unused = closed_port().await;
    let down =
        expect(&stage, &[("DRAINHOOK_AGENT__URL", &unused)], "agent", "failed", "start the agent").await;
    let found = row(&down, "agent")["found"].to_string();
    assert!(found.contains("connection refused: nothing is listening on 127.0.0.1:"), "{down:?}");
}

/// First the agent's host name does not resolve. Then its Unix socket is a datagram socket, so connecting fails.
#[tokio::test]
async fn agents_that_cannot_be_connected_to() {
    let stage = Stage::new(1, world(3, 30)).await;
    let host = "no-such-host.invalid";
    let url = format!("http://{host}:8080");
    let settings = [("DRAINHOOK_AGENT__URL", url.as_str()), ("DRAINHOOK_AGENT__ALLOW_HOST", host)];
    let ran = expect(&stage, &settings, "agent", "failed", "no connection can be made").await;
    assert!(row(&ran, "agent")["found"].to_string().contains("cannot resolve the host of"), "{ran:?}");

    let socket = crate::support::socket_path(&stage.folder);
    let _bound = std::os::unix::net::UnixDatagram::bind(&socket).expect("a fresh path");
    let mut variables = variables(&stage, &[("DRAINHOOK_AGENT__UNIX", &socket.display().to_string())]);
    variables.remove("DRAINHOOK_AGENT__URL");
    let ran = run(&variables, &["check", "--json"]).await;
    let agent = row(&ran, "agent");
    assert!(agent["advice"].to_string().contains("no connection can be made"), "{agent}");
    assert!(agent["found"].to_string().contains("agent.sock"), "{agent}");
}

/// Every user of the machine can read the token file, and a gauge of the agent is unusable. Each is a warning.
#[tokio::test]
async fn tokens_and_fields() {
    let stage = Stage::new(1, world(3, 30)).await;
    let server =
        Server::start(|_| crate::support::ok(r#"{"state":"serving","gauges":{"p99":"fast"}}"#)).await;
    let token = stage.folder.path().join("token");
    std::fs::write(&token, "open-sesame").expect("written");
    let file = token.display().to_string();
    let settings = [("DRAINHOOK_AGENT__URL", server.url.as_str()), ("DRAINHOOK_AGENT__TOKEN_FILE", &file)];
    let mode = |mode| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).expect("ours");
    mode(0o644);
    expect(&stage, &settings, "configuration", "warning", "readable by every user of this machine").await;
    mode(0o640);
    expect(&stage, &settings, "configuration", "ok", "").await;
    expect(&stage, &settings, "agent", "warning", "ignored the gauge").await;
}

/// The agent was drained without the daemon. The advice is a command that returns it to service.
#[tokio::test]
async fn agent_drained_without_the_daemon() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let daemon = stage.daemon().await;
    let agent = stage.service.endpoints(&stage.instance()).expect("it listens").agent;
    run(&variables(&stage, &[]), &["drain", "--agent", &agent]).await.done(": drained\n");
    let command = format!("curl -X DELETE {agent}/drain");
    let advice = format!("the daemon has not told it to drain; to return it to service, run {command}");
    expect(&stage, &[], "agent", "warning", &advice).await;
    let ran = tokio::process::Command::new("sh").args(["-c", &format!("{command} --fail")]).output().await;
    assert!(ran.as_ref().is_ok_and(|ran| ran.status.success()), "{ran:?}");
    stage.until("a DELETE", |one| matches!(one, Happening::AgentReturned { .. })).await;
    expect(&stage, &[], "agent", "ok", "").await;
    assert_eq!(daemon.status().await.state, State::Serving);
}

/// `agent.drain.method` is GET, so requesting the status would drain the agent. `check` sends nothing.
#[tokio::test]
async fn get_would_drain_the_agent() {
    let server = Server::start(|_| crate::support::ok("{}")).await;
    let stage = Stage::new(1, world(3, 30)).await;
    let settings = [("DRAINHOOK_AGENT__URL", server.url.as_str()), ("DRAINHOOK_AGENT__DRAIN__METHOD", "GET")];
    expect(&stage, &settings, "agent", "skipped", "").await;
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn imds() {
    let stage = Stage::new(1, world(3, 30)).await;
    let instance = stage.instance();
    let set = |mode| stage.service.world(|world, now| world.set_imds_mode(now, &instance, mode));
    let without_queue = WorldConfig { queue: None, ..world(3, 30) };
    set(ImdsMode::Disabled);
    let settings = [KEYS[0], KEYS[1], ("DRAINHOOK_INSTANCE__ID", instance.as_str())];
    let ran = expect(&stage, &settings, "IMDS", "warning", "from the queue only").await;
    assert!(row(&ran, "IMDS")["found"].to_string().contains("HttpEndpoint=enabled"), "{ran:?}");
    let enable = format!("modify-instance-metadata-options --instance-id {instance} --http-endpoint enabled");
    assert!(row(&ran, "IMDS")["advice"].to_string().contains(&enable), "{ran:?}");
    assert_eq!(row(&ran, "group")["state"], "ok", "the configuration names the instance");
    expect(&stage, &KEYS, "IMDS", "failed", "set instance.id").await;
    set(ImdsMode::WithoutTargetState);
    expect(&stage, &[], "IMDS", "warning", "no autoscaling/target-lifecycle-state").await;

    let stage = Stage::new(1, without_queue).await;
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_imds_mode(now, &instance, ImdsMode::WithoutTargetState));
    expect(&stage, &[], "IMDS", "failed", "set queue.url").await;
}

/// IMDS returns HTML instead of the role's name. The role is unknown, which is not the same as no role.
#[tokio::test]
async fn unknown_role() {
    let stage = Stage::new(1, world(3, 30)).await;
    let imds = stage.service.endpoints(&stage.instance()).expect("it listens").imds;
    let is_role = |request: &Request| request.line() == "GET /latest/meta-data/iam/security-credentials/";
    let imds = Server::before(&imds, move |request| is_role(request).then(|| ok("<html>"))).await;
    let settings = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url.as_str()), KEYS[0], KEYS[1]];
    let ran = expect(&stage, &settings, "IMDS", "ok", "").await;
    let found = row(&ran, "IMDS")["found"].to_string();
    assert!(found.contains("role unknown (") && found.contains("expected the name of a role"), "{found}");
}

#[tokio::test]
async fn another_instances_id() {
    let stage = Stage::new(1, world(3, 30)).await;
    let settings = [("DRAINHOOK_INSTANCE__ID", "i-0123456789abcdef0")];
    expect(&stage, &settings, "IMDS", "failed", "another instance").await;
    expect(&stage, &settings, "group", "ok", "").await;
}

#[tokio::test]
async fn no_region_and_no_credentials() {
    let stage = Stage::new(1, world(3, 30)).await;
    let unused = closed_port().await;
    let settings = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", unused.as_str()), KEYS[0], KEYS[1]];
    let mut variables = variables(&stage, &settings);
    variables.remove("AWS_REGION");
    let ran = run(&variables, &["check", "--json"]).await;
    let credentials = row(&ran, "credentials");
    assert!(credentials["advice"].to_string().contains("AWS_REGION"), "{credentials}");
    assert_eq!(row(&ran, "Auto Scaling")["state"], "skipped");
    assert_eq!((row(&ran, "queue")["state"].as_str(), ran.code), (Some("skipped"), Some(1)));

    let settings = [("AWS_EC2_METADATA_DISABLED", "true")];
    expect(&stage, &settings, "credentials", "failed", "an instance profile").await;
    // The daemon refuses this Region, too.
    let settings = [("AWS_REGION", "eu west 1")];
    expect(&stage, &settings, "credentials", "failed", "is not an AWS Region").await;
}

/// A server other than AWS answers. Its certificate is for another name.
#[tokio::test]
async fn a_certificate_for_another_name() {
    let stage = Stage::new(1, world(3, 30)).await;
    let aws = format!("https://127.0.0.2:{}", tls::at("127.0.0.2", stage.service.aws_url()).await);
    let settings = [("AWS_ENDPOINT_URL", aws.as_str()), ("AWS_CA_BUNDLE", tls::AUTHORITY)];
    let ran =
        expect(&stage, &settings, "group", "warning", "another server answered: check the endpoint").await;
    let advice = row(&ran, "group")["advice"].to_string();
    assert!(advice.contains(&aws) && !advice.contains("DNS resolver"), "{advice}");
}

/// The proxy rejects the request, rejects the credentials, does not resolve, or is down. The advice is about the proxy, and not
/// about the endpoint.
#[tokio::test]
async fn proxies() {
    let stage = Stage::new(1, world(3, 30)).await;
    let refuses = Server::start(|_| answer(403, &[], "")).await.url;
    let wants_credentials = Server::start(|_| answer(407, &[], "")).await.url;
    for (proxy, expected) in [
        (refuses, "the proxy refused: allow this host in the proxy"),
        (wants_credentials, "the proxy rejected the credentials"),
        ("http://proxy.invalid:3128".to_owned(), "that the proxy is reachable"),
        (closed_port().await, "connection refused; it was not sent; check HTTPS_PROXY"),
    ] {
        let settings = [
            ("AWS_ENDPOINT_URL", "https://aws.test:8443"),
            ("AWS_CA_BUNDLE", tls::AUTHORITY),
            ("HTTPS_PROXY", &proxy),
        ];
        let ran = expect(&stage, &settings, "group", "warning", expected).await;
        let advice = row(&ran, "group")["advice"].to_string();
        assert!(advice.contains("https://aws.test:8443 through the proxy"), "{advice}");
    }
}

/// Without root certificates no https call works. The advice names the package to install.
#[tokio::test]
async fn no_root_certificates() {
    let stage = Stage::new(1, world(3, 30)).await;
    let aws = closed_port().await.replace("http:", "https:");
    let settings = [
        ("AWS_ENDPOINT_URL", aws.as_str()),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/nonexistent"),
    ];
    let ran = expect(&stage, &settings, "group", "warning", "install the package ca-certificates").await;
    assert_eq!(row(&ran, "queue")["state"], "failed", "{ran:?}");
}

/// The endpoint is on another host, without TLS.
#[tokio::test]
async fn plain_http_to_another_host() {
    let stage = Stage::new(1, world(3, 30)).await;
    let url = stage.service.aws_url().replace("127.0.0.1", "0.0.0.0");
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    expect(&stage, &settings, "group", "warning", "add the host to aws.allow_http").await;
    let settings = [settings[0], ("DRAINHOOK_AWS__ALLOW_HTTP", "0.0.0.0")];
    expect(&stage, &settings, "group", "ok", "").await;
}

#[tokio::test]
async fn hooks() {
    let hook = |name: &str, secs| HookSpec::terminating(name, Duration::from_secs(secs));
    let none = Stage::new(1, WorldConfig { hooks: Vec::new(), ..world(3, 30) }).await;
    expect(&none, &[], "hook", "failed", "has no terminating lifecycle hook").await;
    let short = Stage::new(1, WorldConfig { hooks: vec![hook("drain", 30)], ..world(3, 30) }).await;
    expect(&short, &[], "hook", "failed", "for longer than 50m ").await;
    let hooks = vec![hook("backup", 300), hook("drain", 300)];
    let two = Stage::new(1, WorldConfig { hooks, ..world(3, 30) }).await;
    expect(&two, &[], "hook", "failed", "several terminating hooks (backup, drain)").await;
    expect(&two, &[("DRAINHOOK_LIFECYCLE__HOOK", "dry")], "hook", "failed", "it has: backup, drain").await;
    let chosen = [("DRAINHOOK_LIFECYCLE__HOOK", "drain")];
    expect(&two, &chosen, "hook", "warning", "ABANDON").await;
}

/// Amazon ECS has installed its own hook in the group.
#[tokio::test]
async fn hooks_of_other_controllers() {
    const ECS: &str = "ecs-managed-draining-termination-hook";
    let hook = |name: &str| HookSpec {
        default_result: ActionResult::Continue,
        ..HookSpec::terminating(name, Duration::from_secs(600))
    };
    let beside = Stage::new(1, WorldConfig { hooks: vec![hook(ECS), hook("drain")], ..world(3, 30) }).await;
    let ran = expect(&beside, &[], "hook", "ok", "").await;
    let found = row(&ran, "hook")["found"].to_string();
    assert!(found.contains("drain: ") && found.contains(&format!("{ECS} is left to Amazon ECS")), "{found}");
    let theirs = [("DRAINHOOK_LIFECYCLE__HOOK", ECS)];
    expect(&beside, &theirs, "hook", "warning", "belongs to Amazon ECS").await;
    let alone = Stage::new(1, WorldConfig { hooks: vec![hook(ECS)], ..world(3, 30) }).await;
    expect(&alone, &[], "hook", "failed", "belongs to another controller").await;
}

#[tokio::test]
async fn another_group() {
    let stage = Stage::new(1, world(3, 30)).await;
    let settings = [("DRAINHOOK_LIFECYCLE__GROUP", "others")];
    expect(&stage, &settings, "group", "failed", "the instance is in workers").await;
}

async fn denied(actions: &[&'static str], queue: bool) -> Stage {
    let queue = WorldConfig::default().queue.filter(|_| queue);
    let denied = actions.iter().map(|action| (*action).to_owned()).collect();
    Stage::new(1, WorldConfig { denied, queue, ..world(3, 30) }).await
}

#[tokio::test]
async fn permissions() {
    let stage = denied(&["autoscaling:CompleteLifecycleAction"], true).await;
    let allow = "allow autoscaling:CompleteLifecycleAction in the role's policy";
    let ran = expect(&stage, &[], "permissions", "failed", allow).await;
    assert_eq!(row(&ran, "permissions")["found"], "heartbeat permitted, completion denied");
    let stage = denied(&["autoscaling:RecordLifecycleActionHeartbeat"], true).await;
    expect(&stage, &[], "permissions", "failed", "allow autoscaling:RecordLifecycleActionHeartbeat").await;
    let stage = denied(&["autoscaling:DescribeAutoScalingInstances"], true).await;
    expect(&stage, &[], "group", "warning", "allow autoscaling:DescribeAutoScalingInstances").await;
}

#[tokio::test]
async fn hooks_cannot_be_read() {
    let actions = ["autoscaling:DescribeLifecycleHooks"];
    let stage = denied(&actions, true).await;
    expect(&stage, &[], "hook", "warning", "set lifecycle.hook").await;
    let stage = denied(&actions, false).await;
    expect(&stage, &[], "hook", "failed", "drainhook does not know which hook to complete").await;
    let named = [("DRAINHOOK_LIFECYCLE__HOOK", "drain")];
    let ran = expect(&stage, &named, "hook", "warning", "assumes a heartbeat timeout of 30s").await;
    assert_eq!(row(&ran, "permissions")["state"], "ok", "they are tried with the configured hook");
}

#[tokio::test]
async fn journals() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("work that is done", worked).await;
    daemon.kill().await;
    let ran = expect(&stage, &[], "journal", "ok", "").await;
    assert!(
        row(&ran, "journal")["found"].to_string().contains("a drain has been under way since"),
        "{ran:?}"
    );

    let path = crate::support::daemon::journal(&stage.variables(&stage.instance()));
    let journal = std::fs::read_to_string(&path).expect("written");
    let folder = path.parent().expect("a folder");
    let mut foreign = JournalFile::peek(folder).expect("whole").expect("there");
    foreign.instance_id = "i-00000000000000000".to_owned();
    JournalFile::open(folder).expect("there").write(&foreign).expect("written");
    expect(&stage, &[], "journal", "warning", "belongs to another instance, i-00000000000000000").await;
    std::fs::write(&path, &journal[..journal.len() / 2]).expect("written");
    expect(&stage, &[], "journal", "warning", "will be set aside").await;
    assert!(path.exists(), "only the daemon sets it aside");
    let path = path.display().to_string();
    expect(&stage, &[("DRAINHOOK_JOURNAL__DIR", &path)], "journal", "failed", "set journal.dir").await;
}

/// An action is waiting. The permission probes do not change it.
#[tokio::test]
async fn waiting_action_is_unchanged() {
    let mut stage = Stage::new(10, stuck_world()).await;
    stage.scale_in();
    stage.until("Wait", |one| matches!(one, Happening::WaitBegan { .. })).await;
    let instance = stage.instance();
    let actions = || stage.service.world(|world, _| world.instance(&instance).expect("it is there").actions);
    let before = actions();
    expect(&stage, &[], "permissions", "ok", "").await;
    assert_eq!(actions(), before);
    assert_eq!(stage.count(told) + stage.count(completed), 0);
}

/// A check during a healthy drain has no warnings.
#[tokio::test]
async fn a_drain_under_way() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    daemon.until_status("Wait", |status| status.wait_since.is_some() && status.in_flight.is_some()).await;
    let received = |one: &Happening| matches!(one, Happening::MessageReceived { .. });
    let before = stage.count(received);
    let ran = expect(&stage, &[], "agent", "ok", "").await;
    assert!(ran.lines().iter().all(|row| row["advice"] == serde_json::json!([])), "{ran:?}");
    assert!(row(&ran, "agent")["found"].to_string().contains("draining, "), "{ran:?}");
    assert!(row(&ran, "daemon")["found"].to_string().contains("draining"), "{ran:?}");
    assert!(
        row(&ran, "journal")["found"].to_string().contains("a drain has been under way since"),
        "{ran:?}"
    );
    assert_eq!((stage.count(told), stage.count(completed), stage.count(received)), (1, 0, before));
    assert_eq!(daemon.status().await.state, State::Draining);
}

/// An agent is drained by a command. `check` looks at its programs and runs none of them.
#[tokio::test]
async fn commands_that_cannot_run() {
    let stage = Stage::new(1, world(3, 10)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ran = folder.path().join("ran").display().to_string();
    let command = serde_json::json!(["/bin/touch", ran]).to_string();
    let look = async |settings: &[(&'static str, &str)]| {
        let mut variables = variables(&stage, settings);
        variables.remove("DRAINHOOK_AGENT__URL");
        let row = row(&run(&variables, &["check", "--json"]).await, "agent");
        (row["state"].clone(), format!("{} {}", row["found"], row["advice"]))
    };
    let good = [("DRAINHOOK_AGENT__COMMAND", command.as_str()), ("DRAINHOOK_AGENT__NAME", "worker")];
    let (state, told) = look(&good).await;
    assert_eq!(state, "ok", "{told}");
    assert!(told.contains(&format!("worker: drained by /bin/touch {ran}")), "{told}");
    assert!(!folder.path().join("ran").exists(), "check ran the command");
    for (key, program, expected) in [
        ("DRAINHOOK_AGENT__RETURN__COMMAND", "/no/such/program", "set agent.return.command"),
        ("DRAINHOOK_AGENT__COMMAND", "/no/such/program", "No such file or directory"),
        ("DRAINHOOK_AGENT__COMMAND", "/etc/passwd", "it is not executable; run chmod +x /etc/passwd"),
    ] {
        let (state, told) = look(&[good[0], (key, program)]).await;
        assert_eq!(state, "failed", "{told}");
        assert!(told.contains(expected), "{told}");
    }
}

/// An after step, and one whose program does not exist. `check` looks at the programs and runs none of them.
#[tokio::test]
async fn after_steps_that_cannot_run() {
    let stage = Stage::new(1, world(1, 5)).await;
    let ran = stage.folder.path().join("ran");
    let command = serde_json::json!(["/bin/touch", ran]).to_string();
    let good = expect(&stage, &[("DRAINHOOK_AFTER__COMMAND", &command)], "after step", "ok", "").await;
    assert_eq!(row(&good, "after step")["found"], format!("1: /bin/touch {}", ran.display()));
    assert!(!ran.exists(), "check ran the step");
    let advice = "correct the program, or set after.command";
    let bad = [("DRAINHOOK_AFTER__COMMAND", "/no/such/program")];
    let bad = expect(&stage, &bad, "after step", "failed", advice).await;
    let found = row(&bad, "after step")["found"].to_string();
    assert!(found.contains("1: /no/such/program: No such file or directory"), "{found}");
}
