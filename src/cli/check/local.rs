//! Checks what is on this machine: the configuration, the journal, the daemon.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;

use super::part::{Part, State};
use crate::cli::output::counted;
use crate::cli::status::headline;
use crate::config::{Config, Loaded, Origin};
use crate::daemon::client::{self, AskError};
use crate::daemon::journal::{self, JournalFile};
use machine::journal::Journal;
use machine::status::Status;

/// Time limit for the disk.
const DISK_LIMIT: Duration = Duration::from_secs(5);

/// How much is written to test the folder. A journal has a few kilobytes, and each new one is written beside the old one.
const PROBE_LEN: usize = 64 * 1024;

/// The least free space that is not a warning, in bytes.
const SPACE_MIN: u64 = 10 * 1024 * 1024;

/// The sources of the settings. The configuration is valid, because the command fails earlier if it is not.
pub fn configuration(loaded: &Loaded) -> Part {
    let mut file = None;
    let mut others = 0;
    for setting in &loaded.origins {
        match &setting.origin {
            Origin::Default | Origin::Preset(_) => {}
            Origin::File(path, _) => file = Some(path),
            Origin::Variable(_) | Origin::Flag(_) => others += 1,
        }
    }
    let file = file.map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let others = counted(others, "setting");
    let found = format!("{file}, {others} from the environment; drainhook config shows all");
    loaded.warnings().into_iter().fold(Part::ok("configuration", found), Part::warning)
}

/// Whether the journal's folder is writable, and which instance the journal in it belongs to.
pub async fn journal(config: &Config, instance_id: &str) -> Part {
    let folder = config.journal.dir.clone();
    let path = folder.display().to_string();
    // A disk that hangs blocks only this thread, and not the other checks.
    let looking = tokio::task::spawn_blocking(move || (probe(&folder), JournalFile::peek(&folder)));
    let (part, found) = match tokio::time::timeout(DISK_LIMIT, looking).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(panic)) => return Part::ok("journal", path).failed(panic.to_string()),
        Err(_) => {
            return Part::ok("journal", format!("{path}: no answer within {DISK_LIMIT:?}")).failed(
                "the disk hangs, so a restart during a drain would start the drain over; check the disk",
            );
        }
    };
    match found {
        Ok(Some(journal)) => whose(part, &journal, instance_id),
        Ok(None) => part,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => part.warning(format!(
            "the journal in it cannot be used and will be set aside when the daemon starts: {error}"
        )),
        // The part already says that the folder is not writable.
        Err(_) if part.state == State::Failed => part,
        Err(error) => part.failed(format!("the journal in it cannot be read: {error}; {AS_WHOM}")),
    }
}

fn whose(part: Part, journal: &Journal, instance_id: &str) -> Part {
    if !instance_id.is_empty() && journal.instance_id != instance_id {
        return part.warning(format!(
            "the journal in it belongs to another instance, {}, and will be ignored; if it came with the image, delete it \
             from the image",
            journal.instance_id
        ));
    }
    match &journal.drain {
        Some(drain) if drain.phase.ended().is_none() => {
            let found = format!("{}; a drain has been under way since {}", part.found, drain.started);
            Part { found, ..part }
        }
        Some(_) | None => part,
    }
}

fn probe(folder: &Path) -> Part {
    let name = folder.display();
    if let Some(above) = missing(folder) {
        let part = Part::ok("journal", format!("{name} does not exist yet; the daemon creates it"));
        return match rustix::fs::access(&above, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => part,
            Err(error) => part.warning(format!(
                "{}: {error}; create {name} for the daemon's user before the daemon starts, as its systemd unit does \
                 (StateDirectory=)",
                above.display()
            )),
        };
    }
    if let Err(refused) = journal::examine(folder) {
        return Part::ok("journal", format!("{name} is not used")).failed(format!(
            "without a journal, a restart during a drain starts the drain over: {refused}; {AS_WHOM}"
        ));
    }
    match write(folder) {
        Ok(free) if free < SPACE_MIN => Part::ok("journal", format!("{name} is writable"))
            .warning(format!("only {} KiB are free; make room, or set journal.dir", free / 1024)),
        Ok(_) => Part::ok("journal", format!("{name} is writable")),
        Err(error) => Part::ok("journal", format!("writing to {name}: {error}")).failed(format!(
            "without a journal, a restart during a drain starts the drain over; set journal.dir, or {AS_WHOM}"
        )),
    }
}

const AS_WHOM: &str =
    "if the daemon runs as another user, check as that user: sudo -u drainhook drainhook check";

/// The nearest existing ancestor of a folder that does not exist. `None` if the folder exists.
fn missing(folder: &Path) -> Option<PathBuf> {
    if folder.symlink_metadata().is_ok() {
        return None;
    }
    folder.ancestors().find(|above| above.exists()).map(Path::to_owned)
}

/// Writes a temporary file, and returns how much space is free, in bytes.
fn write(folder: &Path) -> io::Result<u64> {
    let mut file = tempfile::Builder::new().prefix(".check-").tempfile_in(folder)?;
    file.write_all(&[b' '; PROBE_LEN])?;
    file.as_file().sync_all()?;
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Requests the daemon's status over its control socket.
pub async fn daemon(config: &Config) -> (Part, Option<Status>) {
    let asked = client::status(&config.control.socket).await;
    (judge(asked.as_ref()), asked.ok())
}

fn judge(asked: Result<&Status, &AskError>) -> Part {
    match asked {
        Ok(status) => {
            let part = Part::ok("daemon", format!("running: {}", headline(status)));
            match &status.last_error {
                Some(error) => part.warning(format!("its last error was at {}: {}", error.at, error.what)),
                None => part,
            }
        }
        Err(error @ AskError::Denied(_)) => Part::skipped("daemon", "not asked").warning(error.to_string()),
        // Without a daemon there is no drain.
        Err(error @ (AskError::NoSocket(_) | AskError::NotListening(_))) => {
            Part::ok("daemon", "not running").failed(error.to_string())
        }
        Err(AskError::Refused(why)) => Part::ok("daemon", "running, but not ready").failed(why.as_str()),
        Err(error @ (AskError::Broken(..) | AskError::Malformed(..))) => {
            Part::ok("daemon", "no status").failed(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(probe(folder.path()).state, State::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0, "the probe was removed");
        let absent = folder.path().join("a/b");
        assert_eq!(probe(&absent).state, State::Ok);
        assert!(!absent.exists(), "only the daemon creates it");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        assert_eq!(probe(&file).state, State::Failed);
    }
}
