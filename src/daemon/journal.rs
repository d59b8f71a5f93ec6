//! The journal on disk: one file, replaced whole, durable before anything depends on it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use formats::journal::{JOURNAL_MAX, decode, encode};
use formats::text::printable;
use machine::journal::Journal;

/// How much of an instance's id is quoted, in characters.
const CAUSE_MAX: usize = 120;

/// The file in its folder.
const NAME: &str = "journal.json";

/// Where the journal lives.
#[derive(Debug, Clone)]
pub struct JournalFile {
    path: PathBuf,
}

/// Why a journal that is there is not used. Draining goes on from what IMDS and the queue say.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read at all.
    #[error("cannot read the journal {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was damaged, or another version wrote it. It was renamed, so that it can be looked at.
    #[error("the journal is damaged and was set aside as {set_aside}: {why}")]
    Damaged {
        /// Its name now.
        set_aside: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It was baked into an image.
    #[error("ignoring the journal of another instance, {instance_id}: was it left in an image?")]
    Foreign {
        /// Whose it is.
        instance_id: String,
    },
}

/// The journal is not on disk: the old one, if there is one, still is.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}; make room there, or let drainhook write there")]
pub struct Unwritten {
    path: PathBuf,
    source: io::Error,
}

impl JournalFile {
    /// The journal in that folder, which is made if it is not there.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(JournalFile { path: folder.join(NAME) })
    }

    /// What the last run on this instance wrote, if it wrote anything.
    pub fn load(&self, instance_id: &str) -> Result<Option<Journal>, Unusable> {
        let read = self.read().map_err(|source| Unusable::Unreadable { path: self.path.clone(), source })?;
        let Some(bytes) = read else { return Ok(None) };
        let journal = decode(&bytes).or_else(|why| self.set_aside(why))?;
        if journal.instance_id != instance_id {
            return Err(Unusable::Foreign { instance_id: printable(&journal.instance_id, CAUSE_MAX) });
        }
        Ok(Some(journal))
    }

    /// What stands in a folder's journal, whosever it is; nothing is moved or made. A damaged one is `InvalidData`.
    pub fn peek(folder: &Path) -> io::Result<Option<Journal>> {
        let bytes = JournalFile { path: folder.join(NAME) }.read()?;
        let damaged = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        bytes.map(|bytes| decode(&bytes).map_err(damaged)).transpose()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(JOURNAL_MAX + 1).read_to_end(&mut bytes).map(|_| Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_aside(&self, why: String) -> Result<Journal, Unusable> {
        let set_aside = self.path.with_extension("damaged.json");
        fs::rename(&self.path, &set_aside)
            .map_err(|source| Unusable::Unreadable { path: self.path.clone(), source })?;
        Err(Unusable::Damaged { set_aside, why })
    }

    /// Replaces the journal: either the old one or the new one is there at any instant, and the new one once this
    /// has returned.
    pub fn write(&self, journal: &Journal) -> Result<(), Unwritten> {
        let new = self.path.with_extension("new");
        let unwritten = |source| Unwritten { path: new.clone(), source };
        self.replace(&new, journal).map_err(unwritten)
    }

    fn replace(&self, new: &Path, journal: &Journal) -> io::Result<()> {
        let mut file = File::create(new)?;
        file.write_all(encode(journal)?.as_bytes())?;
        file.sync_all()?;
        #[cfg(debug_assertions)]
        super::kill::within_write(journal);
        fs::rename(new, &self.path)?;
        // The rename itself must be on disk too.
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Time;
    use machine::effect::CompletionResult;
    use machine::journal::VERSION;
    use machine::journal::{ActionRecord, AgentRecord, DrainRecord, Intention, Outcome};
    use machine::notice::Notices;

    fn journal(instance_id: &str) -> Journal {
        Journal {
            version: VERSION,
            instance_id: instance_id.to_owned(),
            boot_id: None,
            served: true,
            agents: Vec::new(),
            notices: Notices::default(),
            drain: None,
            finished: vec!["token".to_owned()],
        }
    }

    fn folder() -> (tempfile::TempDir, JournalFile) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = JournalFile::open(&folder.path().join("deeper")).expect("made");
        (folder, file)
    }

    #[test]
    fn there_and_back() {
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
    fn another_instance_with_a_name_that_none_can_have() {
        let (_folder, file) = folder();
        file.write(&journal(&format!("\u{1b}[2J\n{}", "i".repeat(100_000)))).expect("written");
        let error = file.load("i-1").expect_err("another instance's").to_string();
        assert!(!error.contains(char::is_control) && error.len() < 1_000, "{} bytes: {error:?}", error.len());
    }

    /// A journal of a drain with all that one can have.
    fn of_a_drain() -> Journal {
        let time = Time::from_unix_ms(1_764_000_000_000);
        let intention = Intention { outcome: Outcome::Drained, result: CompletionResult::Continue };
        let action = ActionRecord {
            group: Some("workers".to_owned()),
            token: Some("0af3d6c2-7b1e-4f57-9a39-0d3e1f6c2b11".to_owned()),
            wait_since: Some(time),
            proven: true,
            intention: Some(intention),
            ..ActionRecord::default()
        };
        let agent =
            AgentRecord { name: "worker".to_owned(), soft_deadline: Some(time), ..AgentRecord::default() };
        let drain = DrainRecord {
            started: time,
            told: Some(time),
            forced: None,
            finished_at: None,
            action,
            receipts: vec!["receipt".to_owned()],
            message_hook: Some("drain".to_owned()),
            ended: None,
        };
        Journal { agents: vec![agent], drain: Some(drain), ..journal("i-1") }
    }

    #[test]
    fn cut_at_every_byte() {
        let (_folder, file) = folder();
        let whole = encode(&of_a_drain()).expect("serialisable").into_bytes();
        for length in 0..whole.len() {
            fs::write(&file.path, &whole[..length]).expect("written");
            let Err(Unusable::Damaged { set_aside, .. }) = file.load("i-1") else {
                panic!("cut at {length} and still used")
            };
            assert_eq!(fs::read(set_aside).expect("set aside"), &whole[..length]);
            assert!(matches!(file.load("i-1"), Ok(None)), "left in place");
        }
        fs::write(&file.path, &whole).expect("written");
        assert_eq!(file.load("i-1").expect("whole"), Some(of_a_drain()));
    }

    #[test]
    fn flipped_at_every_bit() {
        let mut bytes = encode(&of_a_drain()).expect("serialisable").into_bytes();
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
        fs::write(&file.path, vec![b' '; JOURNAL_MAX as usize + 1]).expect("written");
        assert!(matches!(file.load("i-1"), Err(Unusable::Damaged { why, .. }) if why.contains("larger")));
    }
}
