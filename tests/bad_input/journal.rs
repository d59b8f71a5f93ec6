//! A journal that is none, or not this daemon's.

use machine::status::State;
use md5::{Digest, Md5};

use crate::support::daemon::{Daemon, Stage, journal};
use crate::{assert_told, world};

/// It is set aside, told, and kept for whoever wants to look at it; the drain that comes begins anew.
#[tokio::test]
async fn garbage() {
    let mut stage = Stage::new(100, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    let file = journal(&variables);
    let deep = format!("{{\"version\":{}", "[".repeat(10_000));
    let instance = stage.instance();
    let later = format!(
        r#"{{"version":3,"instance_id":"{instance}","served":true,"agents":[],"finished":[],"notices":[],"drain":null}}"#
    );
    let cases: [(Vec<u8>, &str); 9] = [
        (Vec::new(), "cut off or changed"),
        (b"\x00\xff\xfe\x1b[31m".to_vec(), "cut off or changed"),
        (later.clone().into_bytes(), "cut off or changed"),
        (vec![b' '; 1024 * 1024 + 1], "larger than 1048576 bytes"),
        (sealed("null"), "invalid type: null"),
        (sealed("[]"), "invalid length 0"),
        (sealed("{\"version\":\"\x1b\"}"), "control character"),
        (sealed(&deep), "invalid type: sequence"),
        (sealed(&later), "it has version 3, and this daemon reads versions 1 to 2"),
    ];
    for (bytes, words) in cases {
        std::fs::write(&file, &bytes).expect("written");
        let daemon = Daemon::start(&variables).await;
        assert_told(&daemon, &[&["WARN", "the journal is damaged and was set aside as", words]]).await;
        let set_aside = std::fs::read(file.with_extension("damaged.json")).expect("kept");
        assert!(set_aside == bytes, "{words:?}");
        assert_eq!(daemon.status().await.state, State::Serving);
        daemon.kill().await;
    }
    let _daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// With the checksum that belongs to it, so that the content itself is looked at.
fn sealed(journal: &str) -> Vec<u8> {
    format!("{journal}\n\"{:x}\"\n", Md5::digest(journal)).into_bytes()
}
