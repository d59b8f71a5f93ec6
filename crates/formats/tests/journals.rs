//! A daemon is upgraded in mid-drain: the new one reads the journal that the old one left.
//!
//! tests/fixtures/journals has journals of every version of the format so far, one file for each stage of a drain and
//! each kind of notice. Never change or remove one: a disk somewhere holds it.

use std::fs;
use std::path::{Path, PathBuf};

use formats::journal::{decode, encode};

/// The versions of the format, oldest first, and how many journals of each are kept at least.
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

/// The instance that the journal names, read without the code under test.
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
            // What the new daemon writes of it says the same.
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
