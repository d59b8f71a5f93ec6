//! The configuration: a file up to the first NUL, then environment variables as `NAME=VALUE`, separated by NULs.

use std::fs;
use std::path::Path;

use drainhook::config::{Config, Loaded};

use super::cost::Cost;
use super::text::assert_line;

/// The reader compares an unknown key with every known one.
const COST: Cost = Cost { per_byte: 512, base: 256 * 1024 };

/// More lines than an operator would read.
const LINES_MAX: usize = 100;

pub const KINDS: &[&str] = &["configuration", "problems"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    let mut parts = data.split(|byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let variables = parts.map(|part| {
        let text = String::from_utf8_lossy(part).into_owned();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        (name.to_owned(), value.to_owned())
    });
    let variables: Vec<_> = variables.collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("drainhook.toml");
    fs::write(&path, file).expect("written");
    let loaded = COST.of(data.len(), || load(&path, variables));
    match loaded {
        Ok(loaded) => {
            fs::write(&path, loaded.to_toml()).expect("written");
            let again = load(&path, Vec::new()).expect("a printed configuration can be read again");
            assert_eq!(again.config, loaded.config);
            vec!["configuration"]
        }
        Err(why) => {
            assert!(why.lines().count() <= LINES_MAX, "{} lines", why.lines().count());
            why.lines().for_each(assert_line);
            vec!["problems"]
        }
    }
}

fn load(path: &Path, variables: Vec<(String, String)>) -> Result<Loaded, String> {
    Config::load(Some(path), variables.into_iter(), &[]).map_err(|error| error.to_string())
}
