//! Bad input on the control socket while the daemon drains.

use tokio::io::AsyncWriteExt;

use crate::support::daemon::{Stage, in_time, told, worked};
use crate::{assert_plain, world};

/// More connections than are served at once.
const CONNECTIONS: usize = 64;

#[tokio::test]
async fn nonsense_during_a_drain() {
    let mut stage = Stage::new(50, world(4, 60)).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("a POST", told).await;
    let long = format!(r#"{{"command":"{}"}}"#, "x".repeat(8192));
    let deep = format!(r#"{{"command":{}"#, "[".repeat(4000));
    let cases: [(&[u8], &str); 13] = [
        (b"\x00\xff\xfe\n", "malformed request"),
        (b"\n", "malformed request"),
        (b"hello\n", "malformed request: expected value"),
        (b"[\"status\"]\n", "malformed request"),
        (b"{}\n", "missing field `command`"),
        (b"{\"command\":\"dance\"}\n", "unknown variant `dance`"),
        (b"{\"command\":\"status\",\"command\":\"cancel\"}\n", "duplicate field `command`"),
        (b"{\"command\":\"extend\"}\n", "missing field `seconds`"),
        (b"{\"command\":\"extend\",\"seconds\":-1}\n", "invalid value: integer `-1`"),
        (b"{\"command\":\"extend\",\"seconds\":18446744073709551616}\n", "invalid type: floating point"),
        (b"{\"command\":\"finish\",\"result\":\"continue\"}\n", "expected `CONTINUE` or `ABANDON`"),
        (deep.as_bytes(), "malformed request"),
        (&long.as_bytes()[..4096], "one line of JSON of at most 4096 bytes"),
    ];
    for (request, told) in cases {
        let answer = daemon.converse(request).await;
        assert!(answer.starts_with(r#"{"refused":"#) && answer.contains(told), "{request:?}: {answer}");
        assert!(told.len() > 13 || answer.contains("expected JSON such as"), "{answer}");
    }
    stage.until_ended_well(&[]).await;
    assert_plain(&daemon);
}

/// Clients stay connected to the end. Some send nothing, some send half a request, and one never stops sending. The drain
/// ends well.
#[tokio::test]
async fn half_open_connections() {
    let mut stage = Stage::new(50, world(4, 60)).await;
    let mut daemon = stage.daemon().await;
    let mut open = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut stream = daemon.connect().await;
        if connection % 2 == 0 {
            stream.write_all(b"{\"command\":\"can").await.expect("taken");
        }
        open.push(stream);
    }
    let mut endless = daemon.connect().await;
    stage.scale_in();
    stage.until("work that is done", worked).await;
    tokio::spawn(async move { while endless.write_all(&[b'x'; 4096]).await.is_ok() {} });
    stage.until_ended_well(&[]).await;
    assert!(daemon.runs());
    drop(open);
    // A client with a request is served once the others are disconnected.
    in_time("an answer", daemon.status()).await;
}
