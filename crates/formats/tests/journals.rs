//! The daemon is upgraded during a drain, and the new version reads the old version's journal.
//!
//! tests/fixtures/journals has journals of every earlier version of the format, one file for each stage of a drain and each
//! kind of notice. Never change or remove a file: disks in the field hold such journals.

use std::fs;
use std::path::{Path, PathBuf};

use formats::journal::{decode, encode};
use machine::journal::Journal;

/// The versions of the format, oldest first, each with the least number of journals to expect.
const VERSIONS: &[(&str, usize)] = &[("v1", 55)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/journals")
}

fn files(version: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(version)).expect("a folder of journals");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The instance id in the journal, read without the code under test.
fn instance_id(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == b'\n').expect("two lines");
    let journal: serde_json::Value = serde_json::from_slice(&bytes[..end]).expect("JSON");
    journal["instance_id"].as_str().expect("an instance's id").to_owned()
}

#[test]
fn journals_of_every_version_are_read() {
    for (version, count_min) in VERSIONS {
        let files = files(version);
        assert!(files.len() >= *count_min, "{version}: journals are missing: {}", files.len());
        for file in files {
            let bytes = fs::read(&file).expect("a file");
            let journal = decode(&bytes).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            assert_eq!(journal.instance_id, instance_id(&bytes), "{}", file.display());
            // Journals of this version that were written before there were after steps lack this field.
            let mut older = serde_json::to_value(&journal).expect("a journal is JSON");
            older["drain"].as_object_mut().map(|drain| drain.remove("after"));
            assert_eq!(serde_json::from_value::<Journal>(older).ok().as_ref(), Some(&journal));
            // It survives a round trip through the current format.
            let written = encode(&journal).expect("a journal is JSON");
            assert_eq!(decode(written.as_bytes()).as_ref(), Ok(&journal), "{}", file.display());
        }
    }
}

#[test]
fn no_version_is_left_out() {
    let entries = fs::read_dir(folder()).expect("a folder");
    let mut found: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, VERSIONS.iter().map(|(version, _)| *version).collect::<Vec<_>>());
}
