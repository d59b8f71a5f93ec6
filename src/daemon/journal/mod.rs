//! The journal on disk: one file, replaced as a whole, and durable before anything depends on it.
//!
//! - `folder`: the folder, and the checks on it.
//! - `writer`: does one read or write at a time.

mod folder;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use formats::imds::NAME_MAX;
use formats::journal::{JOURNAL_MAX, decode, encode};
use formats::text::printable;
use machine::journal::Journal;

pub use folder::Refused;
use folder::{Eyes, Folder, Unread};
pub use writer::{LoadError, WriteError, Writer};

/// The journal's file name.
pub const NAME: &str = "journal.json";

/// The new journal, before it replaces the old one.
const NEW: &str = "journal.new";

/// The name of a journal that was set aside.
const DAMAGED: &str = "journal.damaged.json";

/// The journal file in its folder.
#[derive(Debug, Clone)]
pub struct JournalFile {
    folder: PathBuf,
}

/// Why an existing journal is not used. The daemon then starts from what IMDS and the queue say.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The folder cannot hold a journal.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Reading failed.
    #[error("cannot read the journal {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was damaged, or an unknown version wrote it. It was renamed, so that an operator can inspect it.
    #[error("the journal is damaged and was set aside as {}: {why}", set_aside.display())]
    Damaged {
        /// Its new path.
        set_aside: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is not a file that the daemon wrote. It was renamed, so that an operator can inspect it.
    #[error("the journal was not read, and was set aside as {}: {why}", set_aside.display())]
    Unsafe {
        /// Its new path.
        set_aside: PathBuf,
        /// What it is.
        why: String,
    },
    /// It belongs to another instance, and was probably baked into an image.
    #[error("ignoring the journal of another instance, {instance_id}: was it left in an image?")]
    Foreign {
        /// The other instance.
        instance_id: String,
    },
}

/// Why a write failed. The old journal, if there is one, is still on disk.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The folder cannot hold a journal.
    #[error("no journal is kept: {0}")]
    Refused(#[from] Refused),
    /// Writing failed.
    #[error("cannot write {}: {source}; free up space there, or let drainhook write there", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Checks whether an existing folder can hold a journal. If root calls this, it checks for the folder's owner.
pub fn examine(folder: &Path) -> Result<(), Refused> {
    Folder::open(folder, Eyes::OwnersForRoot).map(|_| ())
}

impl JournalFile {
    /// The journal in that folder. Creates the folder if it does not exist.
    pub fn open(folder: &Path) -> Result<Self, Refused> {
        Folder::make(folder)?;
        Ok(JournalFile::at(folder.to_owned()))
    }

    /// The journal in that folder. The folder is checked at each read and write.
    pub fn at(folder: PathBuf) -> Self {
        JournalFile { folder }
    }

    /// The journal that the last run on this instance wrote, if any.
    pub fn load(&self, instance_id: &str) -> Result<Option<Journal>, Unusable> {
        let folder = Folder::make(&self.folder)?;
        let bytes = match folder.read(NAME, JOURNAL_MAX) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => bytes,
            Err(Unread::Io(source)) => {
                return Err(Unusable::Unreadable { path: folder.path_of(NAME), source });
            }
            Err(Unread::Unsafe(why)) => {
                return Err(Unusable::Unsafe { set_aside: set_aside(&folder)?, why });
            }
        };
        #[cfg(debug_assertions)]
        super::kill::hold_load();
        let journal = match decode(&bytes) {
            Ok(journal) => journal,
            Err(why) => return Err(Unusable::Damaged { set_aside: set_aside(&folder)?, why }),
        };
        if journal.instance_id != instance_id {
            return Err(Unusable::Foreign { instance_id: printable(&journal.instance_id, NAME_MAX) });
        }
        Ok(Some(journal))
    }

    /// Reads a folder's journal, of any instance, and changes nothing. A damaged journal is an `InvalidData` error.
    pub fn peek(folder: &Path) -> io::Result<Option<Journal>> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let folder = match Folder::open(folder, Eyes::OwnersForRoot) {
            Ok(folder) => folder,
            Err(Refused::Unusable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(refused) => return Err(io::Error::other(refused)),
        };
        match folder.read(NAME, JOURNAL_MAX) {
            Ok(bytes) => bytes.map(|bytes| decode(&bytes).map_err(invalid)).transpose(),
            Err(Unread::Io(error)) => Err(error),
            Err(Unread::Unsafe(why)) => Err(invalid(why)),
        }
    }

    /// Replaces the journal atomically. The new one is durable when this returns.
    pub fn write(&self, journal: &Journal) -> Result<(), Unwritten> {
        #[cfg(debug_assertions)]
        super::kill::hold_write(journal);
        let written = self.replace(journal);
        #[cfg(debug_assertions)]
        super::kill::write_ended(journal);
        written
    }

    fn replace(&self, journal: &Journal) -> Result<(), Unwritten> {
        let folder = Folder::make(&self.folder)?;
        let unwritten = |source| Unwritten::Io { path: folder.path_of(NEW), source };
        let content = encode(journal).map_err(io::Error::from).map_err(unwritten)?;
        folder.write_new(NEW, content.as_bytes()).map_err(unwritten)?;
        #[cfg(debug_assertions)]
        super::kill::within_write(journal);
        folder.rename(NEW, NAME).map_err(unwritten)
    }
}

/// Renames a journal that is not trusted.
fn set_aside(folder: &Folder) -> Result<PathBuf, Unusable> {
    match folder.rename(NAME, DAMAGED) {
        Ok(()) => Ok(folder.path_of(DAMAGED)),
        Err(source) => Err(Unusable::Unreadable { path: folder.path_of(NAME), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use machine::Time;
    use machine::action::{Completion, Group, GroupSource, Wait, WaitSource};
    use machine::after::AfterStage;
    use machine::drain::{OwnMessage, Phase};
    use machine::effect::CompletionResult;
    use machine::journal::VERSION;
    use machine::journal::{
        ActionRecord, AgentRecord, AgentStage, Allowance, DrainRecord, Intention, Outcome,
    };
    use machine::launch::LaunchStage;
    use machine::notice::Notices;
    use machine::protection::Protection;

    fn journal(instance_id: &str) -> Journal {
        Journal {
            version: VERSION,
            instance_id: instance_id.to_owned(),
            boot_id: None,
            booted_at: None,
            served: true,
            agents: Vec::new(),
            targets: Vec::new(),
            notices: Notices::default(),
            drain: None,
            launch: LaunchStage::None,
            pooled: false,
            protection: Protection::Unknown,
            finished: vec!["token".to_owned()],
        }
    }

    fn folder() -> (tempfile::TempDir, JournalFile) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = JournalFile::open(&folder.path().join("deeper")).expect("made");
        (folder, file)
    }

    #[test]
    fn round_trip() {
        let (_folder, file) = folder();
        assert!(matches!(file.load("i-1"), Ok(None)));
        file.write(&journal("i-1")).expect("written");
        assert_eq!(file.load("i-1").expect("usable"), Some(journal("i-1")));
    }

    #[test]
    fn another_instances_journal() {
        let (_folder, file) = folder();
        file.write(&journal("i-baked")).expect("written");
        assert!(
            matches!(file.load("i-1"), Err(Unusable::Foreign { instance_id }) if instance_id == "i-baked")
        );
    }

    #[test]
    fn another_instance_with_an_impossible_id() {
        let (_folder, file) = folder();
        file.write(&journal(&format!("\u{1b}[2J\n{}", "i".repeat(100_000)))).expect("written");
        let error = file.load("i-1").expect_err("another instance's").to_string();
        assert!(!error.contains(char::is_control) && error.len() < 1_000, "{} bytes: {error:?}", error.len());
    }

    /// A journal of a drain, with every field set.
    fn of_a_drain() -> Journal {
        let time = Time::from_unix_ms(1_764_000_000_000);
        let intention = Intention { outcome: Outcome::Drained, result: CompletionResult::Continue };
        let action = ActionRecord {
            group: Some(Group { name: "workers".to_owned(), by: GroupSource::AutoScaling }),
            hook: None,
            proven: true,
            wait: Wait::Waiting {
                since: time,
                known_at: time,
                by: WaitSource::Message { sent: Some(time) },
                last_beat: Some(time),
                expected_at: None,
            },
            completion: Completion::Intended(intention),
        };
        let allowance = Allowance { deadline: time, extended: std::time::Duration::ZERO };
        let stage = AgentStage::Ordered(allowance);
        let agent = AgentRecord { name: "worker".to_owned(), stage, told: None, forced: false };
        let drain = DrainRecord {
            started: time,
            phase: Phase::Draining { since: time },
            bound: Some(time),
            after: AfterStage::Next { step: 1, outcome: Outcome::Drained },
            action,
            message: Some(OwnMessage {
                hook: "drain".to_owned(),
                token: Some("0af3d6c2-7b1e-4f57-9a39-0d3e1f6c2b11".to_owned()),
            }),
            receipts: vec!["receipt".to_owned()],
        };
        Journal { agents: vec![agent], drain: Some(drain), ..journal("i-1") }
    }

    #[test]
    fn cut_at_every_byte() {
        let (_folder, file) = folder();
        let whole = encode(&of_a_drain()).expect("serializable").into_bytes();
        for length in 0..whole.len() {
            fs::write(file.folder.join(NAME), &whole[..length]).expect("written");
            let Err(Unusable::Damaged { set_aside, .. }) = file.load("i-1") else {
                panic!("cut at {length} and still used")
            };
            assert_eq!(fs::read(set_aside).expect("set aside"), &whole[..length]);
            assert!(matches!(file.load("i-1"), Ok(None)), "left in place");
        }
        fs::write(file.folder.join(NAME), &whole).expect("written");
        assert_eq!(file.load("i-1").expect("whole"), Some(of_a_drain()));
    }

    #[test]
    fn flipped_at_every_bit() {
        let mut bytes = encode(&of_a_drain()).expect("serializable").into_bytes();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                bytes[place] ^= 1 << bit;
                assert!(decode(&bytes).is_err(), "bit {bit} of byte {place} flipped, and still used");
                bytes[place] ^= 1 << bit;
            }
        }
        assert_eq!(decode(&bytes), Ok(of_a_drain()));
    }

    #[test]
    fn another_version_and_an_endless_file() {
        let (_folder, file) = folder();
        file.write(&Journal { version: VERSION + 1, ..journal("i-1") }).expect("written");
        assert!(matches!(file.load("i-1"), Err(Unusable::Damaged { why, .. }) if why.contains("version")));
        fs::write(file.folder.join(NAME), vec![b' '; JOURNAL_MAX as usize + 1]).expect("written");
        assert!(matches!(file.load("i-1"), Err(Unusable::Damaged { why, .. }) if why.contains("larger")));
    }
}
