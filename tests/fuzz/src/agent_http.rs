//! An agent's HTTP responses. The first byte of the input selects the request, and the rest is the response.

use std::time::Duration;

use drainhook::agent::http::{Agent, Base, Endpoint};
use machine::Time;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::AgentAnswer;
use machine::notice::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::agent::well_formed;
use super::cost::Cost;
use super::text::assert_line;

/// The client allocates its buffers and its header table even for the shortest answer.
const COST: Cost = Cost { per_byte: 128, base: 256 * 1024 };

/// The server hangs up after its answer, so the client never waits as long as this.
const LIMIT: Duration = Duration::from_secs(60);

pub const KINDS: &[&str] =
    &["accepted", "busy", "cannot drain", "malformed", "returned", "status", "unsupported"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    let Some((choice, response)) = data.split_first() else { return Vec::new() };
    let request = match choice % 3 {
        0 => AgentRequest::Status,
        1 => AgentRequest::Return,
        _ => AgentRequest::Drain(DrainOrder {
            reason: Reason::Operator,
            deadline: Time::from_unix_ms(1_764_000_000_000),
        }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = COST.of(data.len(), || runtime.block_on(ask(&request, response.to_vec())));
    let (kind, why) = match answer {
        AgentAnswer::Accepted(status) => {
            status.iter().for_each(well_formed);
            return vec!["accepted"];
        }
        AgentAnswer::Status { status, .. } => {
            well_formed(&status);
            return vec!["status"];
        }
        AgentAnswer::Returned => return vec!["returned"],
        AgentAnswer::Seen { .. } => panic!("only a unit is seen"),
        AgentAnswer::Unreachable { why, .. } => panic!("{why}"),
        AgentAnswer::Unsupported(why) => ("unsupported", why),
        AgentAnswer::CannotDrain(why) => ("cannot drain", why),
        AgentAnswer::Busy(why) => ("busy", why),
        AgentAnswer::Malformed(why) => ("malformed", why),
    };
    assert!(!why.contains("no answer"), "{why}");
    assert_line(&why);
    vec![kind]
}

async fn ask(request: &AgentRequest, response: Vec<u8>) -> AgentAnswer {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent");
    let listener = UnixListener::bind(&path).expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        // The client would ignore an answer that comes before its request.
        let mut asked = Vec::new();
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            stream.read_buf(&mut asked).await.expect("a request");
        }
        // The client may hang up at any time.
        let _ = stream.write_all(&response).await;
        let _ = stream.shutdown().await;
        // Read the whole request first. Closing with unread bytes would reset the connection and lose the answer.
        let _ = stream.read_to_end(&mut asked).await;
    });
    let agent = Agent::new(Endpoint::new(Base::Unix(path, None))).expect("an endpoint");
    agent.ask(request, "i-0123456789abcdef0", LIMIT).await
}
