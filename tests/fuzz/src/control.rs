//! The control socket: everything that one connection sends.

use drainhook::daemon::control::{self, Answer, Asked, REQUESTS_MAX, Request};
use machine::Event;
use machine::operator::Operator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::cost::Cost;
use super::machine::Host;
use super::text::assert_line;

/// The answer to a wrong line is longer than the line, and every byte may be a line.
const COST: Cost = Cost { per_byte: 2048, base: 128 * 1024 };

/// Bytes in a request.
const LINE_MAX: usize = 4000;

pub const KINDS: &[&str] = &["done", "refused", "question", "command"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (requests, answers) = COST.of(data.len(), || runtime.block_on(converse(data)));
    for answer in answers.lines() {
        match serde_json::from_str(answer).expect("an answer") {
            Answer::Status(status) => panic!("the loop did not answer {status:?}"),
            Answer::Done(what) => {
                assert_eq!(what, "done");
                kinds.push("done");
            }
            Answer::Refused(why) => {
                assert_line(&why);
                kinds.push("refused");
            }
        }
    }
    // The daemon closes the connection at a line that is too long. Earlier answers may be lost with it.
    let lines = data.split_inclusive(|byte| *byte == b'\n');
    if lines.clone().all(|line| line.len() <= LINE_MAX) {
        assert_eq!(answers.lines().count(), lines.count(), "one answer for each line");
    }
    let mut host = Host::draining();
    for request in requests {
        let written = serde_json::to_string(&request).expect("a request is JSON");
        assert_eq!(serde_json::from_str::<Request>(&written).expect("a request"), request);
        kinds.push(if request.command().is_some() { "command" } else { "question" });
        request
            .command()
            .into_iter()
            .for_each(|command| host.hear(Event::Operator { by: Operator { uid: 0, name: None }, command }));
    }
    host.live_on();
    kinds
}

/// Sends all bytes. Returns the requests that reached the loop, and the answers.
async fn converse(data: &[u8]) -> (Vec<Request>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control");
    let (sender, mut requests) = mpsc::channel::<Asked>(REQUESTS_MAX);
    let server = tokio::spawn(control::serve(control::listen(&path).await.expect("bound"), sender));
    let (mut reader, mut writer) = UnixStream::connect(&path).await.expect("connected").into_split();
    let send = async {
        // The write fails if the daemon closes the connection at a line that is too long.
        let _ = writer.write_all(data).await;
        let _ = writer.shutdown().await;
    };
    let receive = async {
        let mut answers = String::new();
        // The read fails if the daemon closes the connection with unread bytes, which resets it.
        let _ = reader.read_to_string(&mut answers).await;
        // Aborting the listener closes the channel of requests.
        server.abort();
        answers
    };
    let heed = async {
        let mut heard = Vec::new();
        while let Some((_, request, reply)) = requests.recv().await {
            heard.push(request);
            let _ = reply.send(Answer::Done("done".to_owned()));
        }
        heard
    };
    let ((), answers, heard) = tokio::join!(send, receive, heed);
    (heard, answers)
}
