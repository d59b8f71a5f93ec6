//! Everything between the daemon and AWS: credentials, certificates, proxies and endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sim::world::Happening;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::daemon::{Daemon, Stage, completed, drained, in_time, message_deleted, told, worked};
use crate::support::{Reply, Request, Server, answer, closed_port, tls};
use crate::{stuck_world, world};

fn is_of_sqs(request: &Request) -> bool {
    request.header("x-amz-target").is_some()
}

fn is_heartbeat(request: &Request) -> bool {
    request.body.contains("Action=RecordLifecycleActionHeartbeat")
}

fn expired(request: &Request) -> Reply {
    let message = "The security token included in the request is expired";
    if is_of_sqs(request) {
        let body =
            format!(r#"{{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"{message}"}}"#);
        return answer(403, &[("content-type", "application/x-amz-json-1.0")], body);
    }
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    );
    answer(403, &[("content-type", "text/xml")], body)
}

fn profile(key: &str) -> String {
    format!(
        "[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\naws_session_token = token\n"
    )
}

/// Another program rewrites the credentials file during the drain, and AWS refuses the old credentials from then on. The
/// daemon reads the file again and completes the drain.
#[tokio::test]
async fn credentials_rewritten_during_a_drain() {
    let mut stage = Stage::new(40, world(3, 700)).await;
    let rotated = Arc::new(AtomicBool::new(false));
    let is_rotated = Arc::clone(&rotated);
    let is_refused =
        |request: &Request| request.header("authorization").is_some_and(|it| it.contains("AKIAOLD"));
    let aws = Server::before(stage.service.aws_url(), move |request| {
        (is_rotated.load(Ordering::Relaxed) && is_refused(request)).then(|| expired(request))
    })
    .await;
    let file = stage.folder.path().join("credentials");
    std::fs::write(&file, profile("AKIAOLD")).expect("written");
    let file_name = file.display().to_string();
    let settings = [("AWS_ENDPOINT_URL", aws.url.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", &file_name)];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("a heartbeat", |one| matches!(one, Happening::Heartbeat { .. })).await;
    std::fs::write(&file, profile("AKIANEW")).expect("written");
    let before = aws.count(is_refused);
    rotated.store(true, Ordering::Relaxed);
    stage.until_ended_well(&[]).await;
    daemon.logged(&["call_failed", "ExpiredToken"]).await;
    // Concurrent calls are refused together.
    let refused = aws.count(is_refused) - before;
    assert!((1..=3).contains(&refused), "{refused} refusals");
}

/// There are no root certificates, so the daemon cannot connect to AWS over TLS. It still drains the agent, keeps running,
/// and logs what to install.
#[tokio::test]
async fn no_root_certificates() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let aws = closed_port().await.replace("http:", "https:");
    let settings = [
        ("AWS_ENDPOINT_URL", aws.as_str()),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/nonexistent"),
    ];
    let mut daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("a drained agent", drained).await;
    daemon.logged(&["call_failed", "no usable root certificates", "SSL_CERT_FILE", "ca-certificates"]).await;
    assert_eq!(stage.count(told), 1, "the daemon has not restarted");
    assert!(daemon.runs());
}

/// A proxy strips `x-amzn-RequestId` from every response. Other parts of the responses show that AWS answered, so the drain
/// completes.
#[tokio::test]
async fn responses_without_the_request_id_header() {
    let mut stage = Stage::new(40, world(3, 700)).await;
    let aws = Server::before(stage.service.aws_url(), |_| Some(Reply::Without("x-amzn-requestid"))).await;
    let daemon = stage.daemon_with(&[("AWS_ENDPOINT_URL", &aws.url)]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    let heartbeats = aws.count(is_heartbeat);
    assert!((1..=10).contains(&heartbeats), "{heartbeats} heartbeats in 12 minutes");
    assert!(!daemon.log().contains("other than AWS"), "{}", daemon.log());
}

/// The environment sets an endpoint for Auto Scaling but none for SQS, as with a VPC endpoint or a queue in another Region.
/// The daemon calls SQS at the host of the queue's URL.
#[tokio::test]
async fn sqs_host_from_the_queue_url() {
    let mut stage = Stage::new(1, world(1, 2)).await;
    let mut variables = stage.variables(&stage.instance());
    let aws = variables.remove("AWS_ENDPOINT_URL").expect("it is set");
    variables.insert("AWS_ENDPOINT_URL_AUTO_SCALING", aws);
    // Keeps this test from connecting to the real SQS, even if the endpoint is wrong.
    variables.insert("HTTPS_PROXY", closed_port().await);
    let _daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("the end of the message", message_deleted).await;
    stage.until("the completion", completed).await;
}

/// A corporate proxy presents its own certificates, and `AWS_CA_BUNDLE` names the CA that signed them. The drain completes.
#[tokio::test]
async fn ca_bundle_from_the_environment() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let aws = format!("https://localhost:{}", tls::before(stage.service.aws_url()).await);
    let settings = [("AWS_ENDPOINT_URL", aws.as_str()), ("AWS_CA_BUNDLE", tls::AUTHORITY)];
    let _daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// As above, but a profile in the shared configuration names the CA.
#[tokio::test]
async fn ca_bundle_from_a_profile() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let aws = format!("https://localhost:{}", tls::before(stage.service.aws_url()).await);
    let file = stage.folder.path().join("config");
    std::fs::write(&file, format!("[profile site]\nca_bundle = {}\n", tls::AUTHORITY)).expect("written");
    let file = file.display().to_string();
    let settings = [("AWS_ENDPOINT_URL", aws.as_str()), ("AWS_CONFIG_FILE", &file), ("AWS_PROFILE", "site")];
    let _daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// No setting names the CA, so the certificate is not trusted. The daemon drains the agent, and logs how to set the CA.
#[tokio::test]
async fn untrusted_certificate() {
    let mut stage = Stage::new(20, stuck_world()).await;
    let aws = format!("https://localhost:{}", tls::before(stage.service.aws_url()).await);
    let daemon = stage.daemon_with(&[("AWS_ENDPOINT_URL", &aws), ("SSL_CERT_FILE", OTHER_AUTHORITY)]).await;
    stage.scale_in();
    stage.until("work that is done", worked).await;
    daemon.logged(&["call_failed", &aws, "UnknownIssuer", "AWS_CA_BUNDLE"]).await;
}

/// A CA certificate that did not sign the server's certificate.
const OTHER_AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/other.pem");

/// A server in between cannot downgrade the daemon to an old version of TLS, because the daemon offers none.
#[tokio::test]
async fn tls_versions() {
    const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];
    const TLS_1_3_AND_1_2: [u8; 7] = [0, 5, 4, 3, 4, 3, 3];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let aws = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
    let hello = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.expect("a record");
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).await.expect("a whole record");
        hello
    });
    let stage = Stage::new(1, world(1, 2)).await;
    let _daemon = stage.daemon_with(&[("AWS_ENDPOINT_URL", &aws), ("AWS_CA_BUNDLE", tls::AUTHORITY)]).await;
    stage.scale_in();
    let hello = in_time("a ClientHello", hello).await.expect("no panic");
    let extension = [&SUPPORTED_VERSIONS[..], &TLS_1_3_AND_1_2].concat();
    assert!(hello.windows(extension.len()).any(|bytes| bytes == extension), "{hello:02x?}");
}

/// `NO_PROXY` lists the endpoint with its port, so the calls bypass the proxy, which is broken.
#[tokio::test]
async fn endpoint_with_its_port_in_no_proxy() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let host = format!("localhost:{}", tls::before(stage.service.aws_url()).await);
    let (aws, proxy) = (format!("https://{host}"), closed_port().await);
    let settings = [
        ("AWS_ENDPOINT_URL", aws.as_str()),
        ("AWS_CA_BUNDLE", tls::AUTHORITY),
        ("HTTPS_PROXY", &proxy),
        ("NO_PROXY", &host),
    ];
    let _daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// The environment names a proxy that reads the start of a request and closes the connection. Calls to AWS go through the
/// proxy and fail, and the log names it.
#[tokio::test]
async fn broken_proxy() {
    let mut stage = Stage::new(1, world(1, 2)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let proxy = format!("127.0.0.1:{}", listener.local_addr().expect("bound").port());
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut start = [0; 40];
        stream.read_exact(&mut start).await.expect("a request");
        String::from_utf8_lossy(&start).into_owned()
    });
    let settings = [
        ("AWS_ENDPOINT_URL", "https://aws.test:8443"),
        ("AWS_CA_BUNDLE", tls::AUTHORITY),
        ("HTTPS_PROXY", &proxy),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("a drained agent", drained).await;
    let seen = seen.await.expect("no panic");
    assert!(seen.starts_with("CONNECT aws.test:8443 HTTP/1.1\r\n"), "{seen}");
    daemon.logged(&["call_failed", "https://aws.test:8443", &format!("through the proxy {proxy}")]).await;
}

/// `simulation.clock` is set, but IMDS or AWS may be real. The daemon does not start.
#[tokio::test]
async fn simulated_time_against_real_services() {
    let stage = Stage::new(20, world(3, 30)).await;
    let real_imds = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254");
    let real_aws = ("AWS_ENDPOINT_URL_SQS", "https://sqs.eu-west-1.amazonaws.com");
    for (name, value) in
        [real_imds, real_aws, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), ("AWS_ENDPOINT_URL", "")]
    {
        let mut variables = stage.variables(&stage.instance());
        variables.insert(name, value.to_owned());
        // Keeps the test from calling real services even if the daemon starts.
        variables.insert("AWS_EC2_METADATA_DISABLED", "false".to_owned());
        let mut daemon = Daemon::spawn(&variables);
        let end = in_time("its end", daemon.end_before_it_is_up()).await.expect("it does not start");
        assert_eq!(end.code(), Some(78), "{name}={value}: {}", daemon.log());
        daemon.logged(&["simulation.clock", "loopback"]).await;
    }
}

/// AWS's endpoint is plain HTTP on a host that is not local, where anyone on the path could read and answer the requests. The
/// daemon sends none until `aws.allow_http` lists the host. The test uses `0.0.0.0`, which is not loopback but reaches this
/// machine, so that it would see the requests.
#[tokio::test]
async fn plain_http_to_another_host() {
    let mut stage = Stage::new(1, world(1, 2)).await;
    let aws = Server::before(stage.service.aws_url(), |_| None).await;
    let url = aws.url.replace("127.0.0.1", "0.0.0.0");
    let instance = stage.instance();
    let daemon = stage.daemon_with(&[("AWS_ENDPOINT_URL", &url)]).await;
    stage.scale_in();
    stage.until("a drained agent", drained).await;
    daemon.logged(&["call_failed", &url, "plain HTTP", "aws.allow_http"]).await;
    assert_eq!(aws.lines(), [""; 0], "nothing was sent");
    daemon.kill().await;

    let mut variables = stage.variables(&instance);
    variables.insert("AWS_ENDPOINT_URL", url);
    variables.insert("DRAINHOOK_AWS__ALLOW_HTTP", "localstack, 0.0.0.0".to_owned());
    let _daemon = Daemon::start(&variables).await;
    stage.until("the completion", completed).await;
}
