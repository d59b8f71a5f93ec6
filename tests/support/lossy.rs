//! A proxy to AWS that drops the first response to each kind of call. AWS has acted, but the caller does not know.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Request, read_request};

/// Listens, and forwards requests to the URL `target`. Its task ends with the test's runtime.
pub async fn way_to(target: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let target = target.trim_start_matches("http://").to_owned();
    let answered = Arc::new(Mutex::new(BTreeSet::new()));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, target.clone(), Arc::clone(&answered)));
        }
    });
    url
}

/// Forwards requests until a response is dropped. That closes the connection.
async fn pass(mut near: TcpStream, target: String, answered: Arc<Mutex<BTreeSet<String>>>) {
    while let Some(request) = read_request(&mut near, 0).await {
        // The world may be gone: its test has ended while a daemon is still calling.
        let Ok(answer) = ask(&target, &request).await else { return };
        let first = answered.lock().expect("no panics").insert(action(&request));
        if first || near.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The name of the call, in either protocol.
fn action(request: &Request) -> String {
    let query = request.body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    query.or(request.header("x-amz-target")).expect("a call to AWS").to_owned()
}

async fn ask(target: &str, request: &Request) -> std::io::Result<Vec<u8>> {
    let mut far = TcpStream::connect(target).await?;
    // The server closes the connection after its response, so that the response can be read to its end.
    let head = request.head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    far.write_all(format!("{head}{}", request.body).as_bytes()).await?;
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await?;
    Ok(answer)
}
