//! Tests the IMDS client, and the source that polls with it, against a scripted server on loopback.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drainhook::aws::imds::{Imds, ImdsError, Settings};
use drainhook::clock::{Clock, Scale};
use drainhook::source::imds::{Polls, poll};
use machine::event::{ImdsReading, LifeCycle, TargetState};
use support::{Reply, Request, Server, answer, closed_port, ok};
use tokio::sync::mpsc;

const TOKEN_LINE: &str = "PUT /latest/api/token";
const STATE_LINE: &str = "GET /latest/meta-data/autoscaling/target-lifecycle-state";
const LIFE_CYCLE_LINE: &str = "GET /latest/meta-data/instance-life-cycle";
const SPOT_LINE: &str = "GET /latest/meta-data/spot/instance-action";

fn imds_with(url: &str, total_limit: Duration) -> Imds {
    let settings = Settings { endpoint: url.to_owned(), total_limit, ..Settings::default() };
    Imds::new(settings, Clock::start(None))
}

fn imds(url: &str) -> Imds {
    imds_with(url, Duration::from_secs(30))
}

/// A server that issues tokens, and answers all other requests as `script` says.
async fn server(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| if request.line() == TOKEN_LINE { ok("T0K3N==") } else { script(request) })
        .await
}

async fn failure(reply: Reply) -> ImdsError {
    let server = server(move |_| reply.clone()).await;
    imds(&server.url).target_state().await.expect_err("a failure")
}

#[tokio::test]
async fn one_token_and_one_connection() {
    let server = server(|_| ok("InService")).await;
    let mut imds = imds(&server.url);
    for _ in 0..3 {
        assert_eq!(imds.target_state().await.expect("an answer"), Some(TargetState::InService));
    }
    assert_eq!(server.lines(), [TOKEN_LINE, STATE_LINE, STATE_LINE, STATE_LINE]);
    let requests = server.requests();
    assert_eq!(requests[0].header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
    assert_eq!(requests[3].header("x-aws-ec2-metadata-token"), Some("T0K3N=="));
    assert!(requests.iter().all(|request| request.connection == 0), "{requests:?}");
}

#[tokio::test]
async fn missing_categories() {
    let server = server(|_| answer(404, &[], "<html>404 - Not Found</html>".repeat(1000))).await;
    let mut imds = imds(&server.url);
    assert_eq!(imds.target_state().await.expect("an answer"), None);
    assert_eq!(imds.spot().await.expect("an answer"), None);
    assert_eq!(imds.rebalance().await.expect("an answer"), None);
    assert_eq!(imds.maintenance().await.expect("an answer"), Vec::new());
    assert_eq!(imds.life_cycle().await.expect("an answer"), None);
    assert!(server.requests().iter().all(|request| request.connection == 0), "one connection is kept");
}

#[tokio::test]
async fn identity_with_and_without_tags() {
    let tagged = server(|request| match request.line() {
        "GET /latest/meta-data/instance-id" => ok("i-0123456789abcdef0"),
        "GET /latest/meta-data/tags/instance/aws:autoscaling:groupName" => ok("my workers"),
        other => panic!("{other}"),
    })
    .await;
    let identity = imds(&tagged.url).identity().await.expect("an identity");
    assert_eq!(identity.instance_id, "i-0123456789abcdef0");
    assert_eq!(identity.group.as_deref(), Some("my workers"));

    let untagged = server(|request| match request.line() {
        "GET /latest/meta-data/instance-id" => ok("i-0123456789abcdef0"),
        _ => answer(404, &[], ""),
    })
    .await;
    let identity = imds(&untagged.url).identity().await.expect("an identity");
    assert!(identity.group.is_none() && identity.doubt.is_none(), "{identity:?}");

    let page = server(|request| match request.line() {
        "GET /latest/meta-data/instance-id" => ok("i-0123456789abcdef0"),
        _ => ok("<html>"),
    })
    .await;
    let identity = imds(&page.url).identity().await.expect("the instance is known");
    assert!(identity.group.is_none() && identity.doubt.is_some(), "{identity:?}");
}

#[tokio::test]
async fn refused_token_is_replaced_once() {
    let asked = AtomicUsize::new(0);
    let once = server(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => answer(401, &[], ""),
        _ => ok("InService"),
    })
    .await;
    assert_eq!(imds(&once.url).target_state().await.expect("an answer"), Some(TargetState::InService));
    assert_eq!(once.lines(), [TOKEN_LINE, STATE_LINE, TOKEN_LINE, STATE_LINE]);

    let always = server(|_| answer(401, &[], "")).await;
    let error = imds(&always.url).target_state().await.expect_err("never an answer");
    assert!(matches!(error, ImdsError::Unauthorized { .. }), "{error}");
    assert_eq!(always.lines(), [TOKEN_LINE, STATE_LINE, TOKEN_LINE, STATE_LINE]);
}

#[tokio::test]
async fn token_is_replaced_before_it_expires() {
    let server = server(|_| ok("InService")).await;
    let now = Clock::start(None).now();
    // Six hours pass in about 0.2 s.
    let clock = Clock::start(Some(Scale { epoch: now, speed: 100_000 }));
    let settings = Settings { endpoint: server.url.clone(), ..Settings::default() };
    let mut imds = Imds::new(settings, clock);
    while server.lines().iter().filter(|line| *line == TOKEN_LINE).count() < 2 {
        imds.target_state().await.expect("an answer");
    }
}

#[tokio::test]
async fn statuses_outside_the_protocol() {
    assert!(matches!(failure(answer(403, &[], "")).await, ImdsError::Disabled { .. }));
    assert!(matches!(failure(answer(500, &[], "")).await, ImdsError::Status { status: 500, .. }));
    let redirect = answer(302, &[("location", "/latest/meta-data/instance-id")], "");
    assert!(matches!(failure(redirect).await, ImdsError::Status { status: 302, .. }));
    assert!(matches!(failure(answer(204, &[], "")).await, ImdsError::Status { status: 204, .. }));
}

#[tokio::test]
async fn token_refused() {
    let disabled = Server::replies([answer(403, &[], "")]).await;
    let error = imds(&disabled.url).target_state().await.expect_err("no token");
    assert!(matches!(error, ImdsError::Disabled { .. }), "{error}");
    assert_eq!(disabled.lines(), [TOKEN_LINE], "no request is sent without a token");

    let huge = "x".repeat(64 * 1024 + 1);
    for (token, told) in [
        ("", "0 bytes that are not a token"),
        ("two lines\r\nInjected: yes", "expected a token"),
        ("\u{1b}[31m", "expected a token"),
        ("<html> </html>", "expected a token"),
        (&huge[..1025], "1025 bytes"),
        (&huge, "longer than 65536"),
    ] {
        let page = Server::replies([ok(token)]).await;
        let error = imds(&page.url).target_state().await.expect_err("no token");
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!(page.lines(), [TOKEN_LINE]);
    }
}

#[tokio::test]
async fn malformed_responses() {
    for body in [&b"<html><body>Sign in</body></html>"[..], b"", b"\xff\xfe\x00", b"In Service"] {
        let error = failure(ok(body)).await;
        assert!(matches!(error, ImdsError::Malformed { .. }), "{body:?}: {error}");
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[tokio::test]
async fn endless_responses() {
    assert!(matches!(failure(Reply::Endless).await, ImdsError::TooLong { .. }));
    let declared = Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec());
    assert!(matches!(failure(declared).await, ImdsError::TooLong { .. }));
    assert!(matches!(failure(Reply::EndlessHead).await, ImdsError::Broken { .. }));
}

/// A correct response that takes seconds to arrive.
fn dripping() -> Reply {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nInService";
    Reply::Dripping(answer.to_vec(), Duration::from_millis(100))
}

#[tokio::test]
async fn connections_that_fail() {
    let error = imds(&closed_port().await).target_state().await.expect_err("the port is closed");
    assert!(matches!(error, ImdsError::Refused { .. }), "{error}");
    assert!(matches!(failure(Reply::Close).await, ImdsError::Broken { .. }));
    let cut = Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nInSer".to_vec());
    assert!(matches!(failure(cut).await, ImdsError::Broken { .. }));

    let silent = Server::replies([Reply::Silence]).await;
    let mut imds = imds_with(&silent.url, Duration::from_millis(50));
    let error = imds.target_state().await.expect_err("no answer");
    assert!(matches!(error, ImdsError::TimedOut { .. }), "{error}");
    for slow in [Reply::EndlessContinue, dripping()] {
        let slow = server(move |_| slow.clone()).await;
        let error =
            imds_with(&slow.url, Duration::from_millis(200)).target_state().await.expect_err("no answer");
        assert!(matches!(error, ImdsError::TimedOut { .. }), "{error}");
    }
}

#[tokio::test]
async fn switched_off() {
    let server = server(|_| ok("InService")).await;
    let settings = Settings { endpoint: server.url.clone(), switched_off: true, ..Settings::default() };
    let mut imds = Imds::new(settings, Clock::start(None));
    assert!(matches!(imds.target_state().await, Err(ImdsError::SwitchedOff)));
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn invalid_endpoints() {
    for endpoint in ["", "169.254.169.254", "https://169.254.169.254", "http://", "http://a b"] {
        let error = imds(endpoint).target_state().await.expect_err("the endpoint is invalid");
        assert!(matches!(error, ImdsError::Endpoint { .. }), "{endpoint}: {error}");
        assert!(error.to_string().contains("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "{error}");
    }
}

#[tokio::test]
async fn endpoint_with_a_path() {
    let server = Server::start(|request| match request.line() {
        "PUT /imds/latest/api/token" => ok("T0K3N"),
        "GET /imds/latest/meta-data/autoscaling/target-lifecycle-state" => ok("InService"),
        other => panic!("{other}"),
    })
    .await;
    let mut imds = imds(&format!("{}/imds/", server.url));
    assert_eq!(imds.target_state().await.expect("an answer"), Some(TargetState::InService));
    assert_eq!(server.requests()[0].header("host"), server.url.strip_prefix("http://"));
}

/// Starts a source on a fast clock. Returns the readings that it sends.
fn source(url: &str, polls: Polls) -> mpsc::Receiver<ImdsReading> {
    source_with(url, Settings::default().total_limit, polls)
}

fn source_with(url: &str, total_limit: Duration, polls: Polls) -> mpsc::Receiver<ImdsReading> {
    let clock = Clock::start(Some(Scale { epoch: Clock::start(None).now(), speed: 1000 }));
    let settings = Settings { endpoint: url.to_owned(), total_limit, ..Settings::default() };
    let (sender, receiver) = mpsc::channel(1);
    let imds = Imds::new(settings, clock);
    tokio::spawn(poll(imds, clock, polls, sender, None));
    receiver
}

const RARELY: Duration = Duration::from_secs(1_000_000);

#[tokio::test]
async fn source_polls_everything_at_once_and_then_in_turn() {
    let server = server(|request| match request.line() {
        STATE_LINE => ok("Terminated"),
        "GET /latest/meta-data/events/recommendations/rebalance" => {
            ok(r#"{"noticeTime":"2020-10-26T18:18:55Z"}"#)
        }
        "GET /latest/meta-data/events/maintenance/scheduled" => ok("[]"),
        _ => answer(404, &[], ""),
    })
    .await;
    let mut readings = source(&server.url, Polls { spot: RARELY, maintenance: RARELY, ..Polls::default() });
    let terminated = ImdsReading::TargetState(Some(TargetState::Terminated));
    assert_eq!(readings.recv().await, Some(terminated.clone()));
    assert_eq!(readings.recv().await, Some(ImdsReading::Spot(None)));
    assert!(matches!(readings.recv().await, Some(ImdsReading::Rebalance(Some(_)))));
    assert_eq!(readings.recv().await, Some(ImdsReading::Maintenance(Vec::new())));
    for _ in 0..3 {
        assert_eq!(readings.recv().await, Some(terminated.clone()));
    }
}

/// A server of an instance in service, which answers `reply` when it is asked for the life cycle.
async fn in_service(reply: Reply) -> Server {
    server(move |request| match request.line() {
        STATE_LINE => ok("InService"),
        LIFE_CYCLE_LINE => reply.clone(),
        _ => answer(404, &[], ""),
    })
    .await
}

#[tokio::test]
async fn source_does_not_ask_an_on_demand_instance_about_spot() {
    let server = in_service(ok("on-demand")).await;
    let mut readings = source(&server.url, Polls { maintenance: RARELY, ..Polls::default() });
    while readings.recv().await.expect("a reading") != ImdsReading::LifeCycle(LifeCycle::OnDemand) {}
    for _ in 0..20 {
        assert_eq!(readings.recv().await, Some(ImdsReading::TargetState(Some(TargetState::InService))));
    }
    assert_eq!(server.lines().iter().filter(|asked| *asked == LIFE_CYCLE_LINE).count(), 1);
}

/// Only the documented word stops the polls for spot notices.
#[tokio::test]
async fn source_asks_all_other_instances_about_spot() {
    for reply in [ok("spot"), ok("scheduled"), ok("<html>"), answer(404, &[], ""), answer(500, &[], "")] {
        let server = in_service(reply.clone()).await;
        let mut readings = source(&server.url, Polls { maintenance: RARELY, ..Polls::default() });
        let count = |line: &str| server.lines().iter().filter(|asked| *asked == line).count();
        while count(LIFE_CYCLE_LINE) == 0 {
            readings.recv().await.expect("a reading");
        }
        let before = count(SPOT_LINE);
        while count(SPOT_LINE) < before + 4 {
            readings.recv().await.expect("a reading");
        }
    }
}

/// IMDS never answers the request for the life cycle. The polls do not wait for it.
#[tokio::test]
async fn source_does_not_wait_for_the_life_cycle() {
    let server = in_service(Reply::Silence).await;
    let limit = Duration::from_secs(24 * 3600);
    let mut readings = source_with(&server.url, limit, Polls { spot: RARELY, ..Polls::default() });
    while !server.lines().iter().any(|asked| asked == LIFE_CYCLE_LINE) {
        readings.recv().await.expect("a reading");
    }
    for _ in 0..20 {
        readings.recv().await.expect("a reading");
    }
}

/// IMDS fails at first when it is asked for the life cycle, and answers a minute later. It is then asked no more.
#[tokio::test]
async fn source_asks_for_the_life_cycle_until_it_is_answered() {
    let asked = AtomicUsize::new(0);
    let server = server(move |request| match request.line() {
        STATE_LINE => ok("InService"),
        LIFE_CYCLE_LINE => match asked.fetch_add(1, Ordering::Relaxed) {
            0 => answer(500, &[], ""),
            _ => ok("on-demand"),
        },
        _ => answer(404, &[], ""),
    })
    .await;
    let mut readings = source(&server.url, Polls { maintenance: RARELY, ..Polls::default() });
    while readings.recv().await.expect("a reading") != ImdsReading::LifeCycle(LifeCycle::OnDemand) {}
    for _ in 0..200 {
        assert_eq!(readings.recv().await, Some(ImdsReading::TargetState(Some(TargetState::InService))));
    }
    assert_eq!(server.lines().iter().filter(|asked| *asked == LIFE_CYCLE_LINE).count(), 2);
}

#[tokio::test]
async fn source_survives_silence_and_comes_back() {
    let asked = AtomicUsize::new(0);
    let server =
        Server::start(move |request| match (asked.fetch_add(1, Ordering::Relaxed), request.line()) {
            (0..5, _) => Reply::Close,
            (_, TOKEN_LINE) => ok("T0K3N"),
            (_, STATE_LINE) => ok("InService"),
            _ => answer(404, &[], ""),
        })
        .await;
    let mut readings = source(&server.url, Polls::default());
    for _ in 0..5 {
        let reading = readings.recv().await.expect("a reading");
        // One reading per round: if IMDS does not answer, the other categories are not polled.
        assert!(matches!(reading, ImdsReading::Silent { .. }), "{reading:?}");
    }
    assert_eq!(readings.recv().await, Some(ImdsReading::TargetState(Some(TargetState::InService))));
}

#[tokio::test]
async fn source_survives_a_malformed_response() {
    let server = server(|request| match request.line() {
        STATE_LINE => ok("<html>"),
        SPOT_LINE => ok("soon"),
        _ => answer(404, &[], ""),
    })
    .await;
    let mut readings = source(&server.url, Polls::default());
    let malformed = |reading: Option<ImdsReading>| match reading {
        Some(ImdsReading::Malformed { why }) => why,
        other => panic!("{other:?}"),
    };
    let why = malformed(readings.recv().await);
    assert!(why.contains("target-lifecycle-state"), "{why}");
    assert_eq!(readings.recv().await, Some(ImdsReading::Silent { why }));
    let why = malformed(readings.recv().await);
    assert!(why.contains("instance-action") && why.contains("expected an object"), "{why}");
    assert_eq!(readings.recv().await, Some(ImdsReading::Rebalance(None)));
}

#[tokio::test]
async fn source_ends_with_its_reader() {
    let server = server(|_| ok("InService")).await;
    let clock = Clock::start(Some(Scale { epoch: Clock::start(None).now(), speed: 1000 }));
    let settings = Settings { endpoint: server.url.clone(), ..Settings::default() };
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    poll(Imds::new(settings, clock), clock, Polls::default(), sender, None).await;
}
