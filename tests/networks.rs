//! Where the calls to AWS go, and which Region they are signed for, by the variables, the profile and the queue's URL.
//!
//! The real SDK reads its configuration and builds the requests. They are recorded and never sent. Variables belong to the whole
//! process, so each case runs in a child process of its own.

use std::io::Write as _;
use std::process::Command;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use drainhook::aws::autoscaling::Whose;
use drainhook::aws::clients::{Clients, Settings, sdk_config};
use machine::effect::ActionName;
use machine::targets::TargetName;

/// Set in the child process: the queue's URL.
const CHILD: &str = "CHILD_OF_NETWORKS";

/// The test that a child process runs.
const RECORDED: &str = "requests_of_a_child";

/// Before each line of a child process that names a request or an error.
const MARK: &str = "recorded: ";

const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/workers";

const FIPS: (&str, &str) = ("AWS_USE_FIPS_ENDPOINT", "true");
const DUAL_STACK: (&str, &str) = ("AWS_USE_DUALSTACK_ENDPOINT", "true");

/// Prints a request instead of sending it: its service and Region, by the signature, and its origin.
#[derive(Debug)]
struct Recorder;

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let origin = request.uri().splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let signature = request.headers().get("authorization").unwrap_or_default();
        // Credential=KEY/DATE/REGION/SERVICE/aws4_request
        let scope: Vec<&str> = signature.split(['/', ',']).skip(2).take(2).collect();
        record(&match scope[..] {
            [region, service] => format!("{service} {region} {origin}"),
            _ => format!("unsigned {origin}"),
        });
        HttpConnectorFuture::ready(Err(ConnectorError::other("recorded".into(), None)))
    }
}

fn record(line: &str) {
    // The harness captures what `println!` prints.
    writeln!(std::io::stdout(), "{MARK}{line}").expect("a pipe");
}

fn recorder() -> SharedHttpClient {
    http_client_fn(|_, _| SharedHttpConnector::new(Recorder))
}

/// In place of a queue's URL: the child calls Elastic Load Balancing.
const OF_TARGETS: &str = "target groups";

/// Does nothing unless it runs in a child process.
#[tokio::test]
async fn requests_of_a_child() {
    let Ok(queue) = std::env::var(CHILD) else { return };
    let config = sdk_config(recorder()).await;
    if config.region().is_none() {
        return;
    }
    let settings = Settings { queue_url: Some(queue.clone()), target_groups: true, ..Settings::default() };
    let clients = Clients::from_config(config, &settings);
    if queue == OF_TARGETS {
        let target = TargetName { group: "arn".to_owned(), id: "i-0123456789abcdef0".to_owned(), port: None };
        let error = clients.target_health(&target).await.expect_err("not sent");
        return record(&format!("error {error}"));
    }
    let action = ActionName { hook: "drain".to_owned(), group: "workers".to_owned() };
    let heartbeat = clients.heartbeat(&action, Whose::Instance("i-0123456789abcdef0")).await;
    let delete = clients.delete(&queue, "receipt").await;
    for error in [heartbeat.expect_err("not sent"), delete.expect_err("not sent")] {
        record(&format!("error {error}"));
    }
}

/// What a client does in this environment, with this profile and this queue.
fn recorded(variables: &[(&str, &str)], profile: &str, queue: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config");
    std::fs::write(&config, format!("[default]\n{profile}\n")).expect("written");
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", RECORDED, "--nocapture"])
        .env_clear()
        .env(CHILD, queue)
        .env("AWS_CONFIG_FILE", config)
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .envs(variables.iter().copied())
        .output()
        .expect("started");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    output.lines().filter_map(|line| line.split_once(MARK)).map(|(_, line)| line.to_owned()).collect()
}

/// Expects the two calls at these hosts, signed for these Regions.
fn assert_sent(
    (variables, profile, queue): (&[(&str, &str)], &str, &str),
    autoscaling: (&str, &str),
    sqs: (&str, &str),
) {
    let found = recorded(variables, profile, queue);
    let sent: Vec<_> = found.iter().filter(|line| !line.starts_with("error ")).collect();
    let expected = [
        format!("autoscaling {} https://{}", autoscaling.1, autoscaling.0),
        format!("sqs {} https://{}", sqs.1, sqs.0),
    ];
    assert_eq!(sent, expected.iter().collect::<Vec<_>>(), "{variables:?} {profile:?} {queue}: {found:#?}");
}

/// The public endpoints of each partition. The queue's URL is the one that SQS shows there.
#[test]
fn partitions() {
    for (region, suffix) in [
        ("us-east-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-gov-west-1", "amazonaws.com"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("eu-isoe-west-1", "cloud.adc-e.uk"),
        ("us-isof-south-1", "csp.hci.ic.gov"),
    ] {
        let (autoscaling, sqs) = (format!("autoscaling.{region}.{suffix}"), format!("sqs.{region}.{suffix}"));
        let queue = format!("https://{sqs}/123456789012/workers");
        let case = (&[("AWS_REGION", region)][..], "", queue.as_str());
        assert_sent(case, (&autoscaling, region), (&sqs, region));
    }
}

/// The variables and the profile's keys choose FIPS and dual-stack endpoints in every partition, with the queue's usual URL.
#[test]
fn fips_and_dual_stack() {
    let us = |variables: &'static [(&str, &str)]| ("us-east-1", variables, "");
    for ((region, variables, profile), queue, autoscaling, sqs) in [
        (us(&[FIPS]), QUEUE, "autoscaling-fips.us-east-1.amazonaws.com", "sqs-fips.us-east-1.amazonaws.com"),
        (us(&[DUAL_STACK]), QUEUE, "autoscaling.us-east-1.api.aws", "sqs.us-east-1.api.aws"),
        (us(&[FIPS, DUAL_STACK]), QUEUE, "autoscaling-fips.us-east-1.api.aws", "sqs-fips.us-east-1.api.aws"),
        (
            ("us-east-1", &[], "use_fips_endpoint = true"),
            QUEUE,
            "autoscaling-fips.us-east-1.amazonaws.com",
            "sqs-fips.us-east-1.amazonaws.com",
        ),
        (
            ("us-east-1", &[], "use_dualstack_endpoint = true"),
            QUEUE,
            "autoscaling.us-east-1.api.aws",
            "sqs.us-east-1.api.aws",
        ),
        (
            ("us-gov-west-1", &[FIPS], ""),
            "https://sqs.us-gov-west-1.amazonaws.com/1/q",
            "autoscaling.us-gov-west-1.amazonaws.com",
            "sqs.us-gov-west-1.amazonaws.com",
        ),
        (
            ("cn-north-1", &[DUAL_STACK], ""),
            "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
            "autoscaling.cn-north-1.api.amazonwebservices.com.cn",
            "sqs.cn-north-1.api.amazonwebservices.com.cn",
        ),
        (
            ("us-iso-east-1", &[FIPS], ""),
            "https://sqs.us-iso-east-1.c2s.ic.gov/1/q",
            "autoscaling-fips.us-iso-east-1.c2s.ic.gov",
            "sqs-fips.us-iso-east-1.c2s.ic.gov",
        ),
        // A queue's URL may name such an endpoint itself. Both its kind and the setting then count.
        (
            us(&[]),
            "https://sqs-fips.us-east-1.amazonaws.com/1/q",
            "autoscaling.us-east-1.amazonaws.com",
            "sqs-fips.us-east-1.amazonaws.com",
        ),
        (
            us(&[]),
            "https://sqs.us-east-1.api.aws/1/q",
            "autoscaling.us-east-1.amazonaws.com",
            "sqs.us-east-1.api.aws",
        ),
        (
            us(&[FIPS]),
            "https://sqs.us-east-1.api.aws/1/q",
            "autoscaling-fips.us-east-1.amazonaws.com",
            "sqs-fips.us-east-1.api.aws",
        ),
        (
            us(&[DUAL_STACK]),
            "https://sqs-fips.us-east-1.amazonaws.com/1/q",
            "autoscaling.us-east-1.api.aws",
            "sqs-fips.us-east-1.api.aws",
        ),
    ] {
        let all = [&[("AWS_REGION", region)], variables].concat();
        assert_sent((&all, profile, queue), (autoscaling, region), (sqs, region));
    }
}

/// VPC endpoints: with private DNS nothing is set. Otherwise the queue's URL or the variables name them, and the Region of the name
/// counts.
#[test]
fn vpc_endpoints() {
    const PUBLIC: &str = "autoscaling.us-east-1.amazonaws.com";
    const SQS: &str = "vpce-0a1b-c2d3.sqs.us-east-1.vpce.amazonaws.com";
    const SQS_URL: &str = "https://vpce-0a1b-c2d3.sqs.us-east-1.vpce.amazonaws.com";
    const ZONAL: &str = "vpce-0a1b-c2d3-us-east-1a.sqs.us-east-1.vpce.amazonaws.com";
    const AUTOSCALING: &str = "vpce-0a1b-c2d3.autoscaling.us-east-1.vpce.amazonaws.com";
    const AUTOSCALING_URL: &str = "https://vpce-0a1b-c2d3.autoscaling.us-east-1.vpce.amazonaws.com";
    let at = |host: &str| format!("https://{host}/123456789012/workers");
    for (variables, profile, queue, autoscaling, sqs) in [
        (&[][..], "", QUEUE.to_owned(), PUBLIC, ("sqs.us-east-1.amazonaws.com", "us-east-1")),
        (&[], "", at(SQS), PUBLIC, (SQS, "us-east-1")),
        (&[], "", at(ZONAL), PUBLIC, (ZONAL, "us-east-1")),
        (
            &[],
            "",
            at("vpce-0a1b.sqs.cn-north-1.vpce.amazonaws.com.cn"),
            PUBLIC,
            ("vpce-0a1b.sqs.cn-north-1.vpce.amazonaws.com.cn", "cn-north-1"),
        ),
        (
            &[],
            "",
            at("vpce-0a1b.sqs-fips.us-west-2.vpce.amazonaws.com"),
            PUBLIC,
            ("vpce-0a1b.sqs-fips.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ),
        // The endpoint has no other kinds.
        (&[FIPS, DUAL_STACK], "", at(SQS), "autoscaling-fips.us-east-1.api.aws", (SQS, "us-east-1")),
        (&[("AWS_ENDPOINT_URL_AUTO_SCALING", AUTOSCALING_URL)], "", at(SQS), AUTOSCALING, (SQS, "us-east-1")),
        (&[("AWS_ENDPOINT_URL_SQS", SQS_URL)], "", QUEUE.to_owned(), PUBLIC, (SQS, "us-east-1")),
        (
            &[("AWS_ENDPOINT_URL", "https://aws.example.com")],
            "",
            at(SQS),
            "aws.example.com",
            ("aws.example.com", "us-east-1"),
        ),
        (
            &[("AWS_ENDPOINT_URL", "https://aws.example.com"), ("AWS_ENDPOINT_URL_SQS", SQS_URL)],
            "",
            QUEUE.to_owned(),
            "aws.example.com",
            (SQS, "us-east-1"),
        ),
        (
            &[],
            "services = own\n[services own]\nsqs =\n  endpoint_url = https://sqs.example.com\nauto_scaling =\n  \
             endpoint_url = https://autoscaling.example.com",
            QUEUE.to_owned(),
            "autoscaling.example.com",
            ("sqs.example.com", "us-east-1"),
        ),
        (
            &[("AWS_ENDPOINT_URL_AUTO_SCALING", AUTOSCALING_URL)],
            "services = own\n[services own]\nauto_scaling =\n  endpoint_url = https://autoscaling.example.com",
            QUEUE.to_owned(),
            AUTOSCALING,
            ("sqs.us-east-1.amazonaws.com", "us-east-1"),
        ),
        // Ignored endpoints do not override the host of the queue's URL.
        (
            &[
                ("AWS_ENDPOINT_URL", "https://aws.example.com"),
                ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
            ],
            "",
            at(SQS),
            PUBLIC,
            (SQS, "us-east-1"),
        ),
    ] {
        let all = [&[("AWS_REGION", "us-east-1")], variables].concat();
        assert_sent((&all, profile, &queue), (autoscaling, "us-east-1"), sqs);
    }
}

/// SQS refuses what is signed for another Region than the queue's. The daemon's Region is that of the instance.
#[test]
fn legacy_queue_hosts() {
    for (host, sqs, region) in [
        ("queue.amazonaws.com", "sqs.us-east-1.amazonaws.com", "us-east-1"),
        ("us-west-2.queue.amazonaws.com", "sqs.us-west-2.amazonaws.com", "us-west-2"),
        ("cn-north-1.queue.amazonaws.com.cn", "sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("us-gov-west-1.queue.amazonaws.com", "sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
    ] {
        let queue = format!("https://{host}/123456789012/workers");
        let case = (&[("AWS_REGION", "eu-west-1")][..], "", queue.as_str());
        assert_sent(case, ("autoscaling.eu-west-1.amazonaws.com", "eu-west-1"), (sqs, region));
    }
}

/// Without `AWS_REGION` the SDK asks IMDS, at the address that the daemon uses.
#[test]
fn region_from_imds() {
    const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
    for (variables, imds) in [
        (&[][..], "http://169.254.169.254"),
        (&[(MODE, "IPv6")], "http://[fd00:ec2::254]"),
        (&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1338")], "http://127.0.0.1:1338"),
    ] {
        let asked = recorded(variables, "", QUEUE);
        let expected = format!("unsigned {imds}");
        assert!(!asked.is_empty(), "{variables:?}: nothing was asked");
        assert!(asked.iter().all(|line| line.trim_end_matches('/') == expected), "{variables:?}: {asked:?}");
    }
}

/// The SDK refuses a configured endpoint together with FIPS or dual stack. Nothing is sent, and the error says what is wrong.
#[test]
fn configured_endpoints_with_fips_and_dual_stack() {
    for (setting, word) in [(FIPS, "FIPS"), (DUAL_STACK, "Dualstack")] {
        let variables =
            [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", "https://aws.example.com"), setting];
        let found = recorded(&variables, "", QUEUE);
        let told = |line: &String| {
            line.starts_with("error ") && line.contains(word) && line.contains("custom endpoint")
        };
        assert!(found.len() == 2 && found.iter().all(told), "{found:#?}");
    }
}

/// Elastic Load Balancing has the same settings, with its own names.
#[test]
fn target_groups() {
    const NAME: &str = "services = own\n[services own]\nelastic_load_balancing_v2 =\n  endpoint_url = https://elb.example.com";
    let url = "https://elb.example.com";
    for (region, variables, profile, expected) in [
        ("eu-west-1", None, "", "elasticloadbalancing.eu-west-1.amazonaws.com"),
        ("cn-north-1", None, "", "elasticloadbalancing.cn-north-1.amazonaws.com.cn"),
        ("us-east-1", Some(FIPS), "", "elasticloadbalancing-fips.us-east-1.amazonaws.com"),
        ("us-east-1", Some(DUAL_STACK), "", "elasticloadbalancing.us-east-1.api.aws"),
        ("us-east-1", Some(("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", url)), "", "elb.example.com"),
        ("us-east-1", None, NAME, "elb.example.com"),
    ] {
        let variables: Vec<_> = variables.into_iter().chain([("AWS_REGION", region)]).collect();
        let found = recorded(&variables, profile, OF_TARGETS);
        let expected = format!("elasticloadbalancing {region} https://{expected}");
        assert_eq!(found.first(), Some(&expected), "{variables:?} {profile:?}: {found:#?}");
    }
}
