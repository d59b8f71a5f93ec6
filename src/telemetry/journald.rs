//! Writes the log as journald fields, so that `journalctl DRAIN_ID=…` and `MESSAGE_ID=…` work.
//!
//! We do not use the layer from crates.io, because it blocks if journald hangs. The protocol is systemd's "Native Journal
//! Protocol".

use std::env;
use std::fmt::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::{io, path::Path};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// `MESSAGE_ID` (systemd.journal-fields(7)) for each event that people search for and alert on. The ids never change.
/// docs/install.md has the same list.
pub const MESSAGE_IDS: [(&str, &str); 13] = [
    ("drain_started", "0c6ecd3e393f491388854505e1456cae"),
    ("drain_recovered", "17a12ad5523c43d291f09f084c0b1070"),
    ("drain_ended", "8f2bb3fcc2334eca8168c6193572a60c"),
    ("agent_trouble", "ecda403854af49dfa513c94fc7979e1f"),
    ("unit_loses_work", "41301f7d8b0c4ed5aca625f484a3aa53"),
    ("force_failed", "8904276c50314c27a1e1d91240eb0de1"),
    ("step_failed", "36f1531220e74f9080247436ec7f26a5"),
    ("launch_abandoned", "5f0c1d7be6a24b86a8f3d2c49e7b0a16"),
    ("target_given_up", "b1a9e62d7c3f4d0e9f5586b04c27e8a3"),
    ("hook_impossible", "99bd4dbe867b4fd1ad8ccc0e6b477b92"),
    ("imds_silent", "8a44c42a23244a3cb7fc1c902e22a7d6"),
    ("journal_failed", "c127242c6d2c45208e62c0efc8456be0"),
    ("defect", "e6e8ca86aa0440148f114241dbacacde"),
];

/// Sends each line as one datagram. Never blocks: a line that cannot be sent at once is dropped.
#[derive(Debug)]
pub struct Journald {
    socket: UnixDatagram,
}

impl Journald {
    /// The layer, if standard error goes to journald.
    pub fn behind_stderr() -> io::Result<Option<Self>> {
        if !is_journal(&io::stderr(), env::var("JOURNAL_STREAM").ok().as_deref())
            || !Path::new(SOCKET).exists()
        {
            return Ok(None);
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Some(Journald { socket }))
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // There is nowhere to report that the log cannot be written.
        let _ = self.socket.send_to(entry(event).as_bytes(), SOCKET);
    }
}

/// Whether a file is the one that `JOURNAL_STREAM` names by device and inode (systemd.exec(5)). The variable alone is not
/// enough: a child whose output goes elsewhere inherits it too.
fn is_journal(file: &impl AsFd, journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    rustix::fs::fstat(file)
        .is_ok_and(|stat| stat.st_dev.to_string() == device && stat.st_ino.to_string() == inode)
}

fn entry(event: &Event<'_>) -> String {
    let mut entry = Entry(String::new());
    entry.put("PRIORITY", priority(*event.metadata().level()));
    entry.put("SYSLOG_IDENTIFIER", "drainhook");
    event.record(&mut entry);
    entry.0
}

/// syslog(3)
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// Builds the datagram of a line.
struct Entry(String);

impl Entry {
    /// Adds a field in the textual form, which cannot hold line breaks. They become spaces.
    fn put(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(value.chars().map(|char| if char == '\n' { ' ' } else { char }));
        self.0.push('\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(&field.name().to_ascii_uppercase(), value);
        if field.name() == "event"
            && let Some((_, id)) = MESSAGE_IDS.iter().find(|(event, _)| *event == value)
        {
            self.put("MESSAGE_ID", id);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string does not fail. If the value's own formatting fails, the part before that is kept.
        let _ = write!(text, "{value:?}");
        self.put(&field.name().to_ascii_uppercase(), &text);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("alone").push(entry(event));
        }
    }

    fn entries(log: impl FnOnce()) -> Vec<String> {
        let kept = Arc::default();
        let registry = tracing_subscriber::registry().with(Kept(Arc::clone(&kept)));
        tracing::subscriber::with_default(registry, log);
        let entries = kept.lock().expect("alone");
        entries.clone()
    }

    #[test]
    fn fields() {
        let logged = entries(|| {
            tracing::warn!(
                event = "drain_ended",
                drain_id = "i-1-2",
                in_flight = 3_u64,
                agent = None::<&str>,
                "over"
            );
        });
        let message_id = MESSAGE_IDS[2].1;
        assert_eq!(
            logged,
            [format!(
                "PRIORITY=4\nSYSLOG_IDENTIFIER=drainhook\nMESSAGE=over\nEVENT=drain_ended\nMESSAGE_ID={message_id}\n\
                 DRAIN_ID=i-1-2\nIN_FLIGHT=3\n"
            )]
        );
    }

    /// An agent's text must not add a field to the log line.
    #[test]
    fn line_break_in_a_value() {
        let detail = "one\nPRIORITY=0\ntwo";
        let logged = entries(|| tracing::info!(detail, "said: {detail}"));
        let lines: Vec<_> = logged[0].lines().collect();
        assert_eq!(lines[2..], ["MESSAGE=said: one PRIORITY=0 two", "DETAIL=one PRIORITY=0 two"]);
    }

    #[test]
    fn journal_stream() {
        let file = tempfile::tempfile().expect("a file");
        let stat = file.metadata().expect("it is open");
        let (device, inode) = (stat.dev(), stat.ino());
        assert!(is_journal(&file, Some(&format!("{device}:{inode}"))));
        assert!(!is_journal(&file, Some(&format!("{device}:{}", inode + 1))));
        assert!(!is_journal(&file, Some("nonsense")));
        assert!(!is_journal(&file, None));
    }
}
