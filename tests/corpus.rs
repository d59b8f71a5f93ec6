//! Replays the fuzzing corpus (tests/fuzz), and inputs designed to be expensive to read, with the stable compiler.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use fuzz::TARGETS;

/// How much more expensive eight times the input may be. Buffers that double allocate up to twice as much. Quadratic cost
/// would be 64 times as much.
const LINEAR_MAX: u64 = 16;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The names of a folder's entries, sorted.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Replays every file in a target's corpus.
fn replay(target: &str) {
    let target = fuzz::target(target);
    let corpus = folder().join("corpus").join(target.name);
    let names = names(&corpus);
    let mut kinds = BTreeSet::new();
    for name in names {
        // Printed only if the target panics.
        println!("{}", corpus.join(&name).display());
        kinds.extend((target.run)(&fs::read(corpus.join(&name)).expect("a file")));
    }
    assert_eq!(
        kinds,
        target.kinds.iter().copied().collect(),
        "the corpus of {} has lost some kind",
        target.name
    );
}

/// Reads expensive inputs, short ones and ones that are eight times as long, and compares the cost.
fn linear(target: &str) {
    let target = fuzz::target(target);
    let mut complaints = Vec::new();
    for shape in fuzz::pathological::shapes(target.name) {
        let cost = |size| {
            let input = shape.input(size);
            println!("{}: {} bytes", shape.name, input.len());
            allocation_counter::measure(|| drop((target.run)(&input))).bytes_total
        };
        let (short, long) = (cost(target.size_max / 64), cost(target.size_max / 8));
        if long > LINEAR_MAX * short {
            complaints
                .push(format!("{}: {short} bytes allocated, for eight times as much {long}", shape.name));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

macro_rules! targets {
    ($($target:ident),*) => {
        $(mod $target {
            #[test]
            fn corpus() {
                super::replay(stringify!($target));
            }

            #[test]
            fn linear() {
                super::linear(stringify!($target));
            }
        })*

        #[test]
        fn every_fuzz_target_is_replayed() {
            let all: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
            assert_eq!(all, BTreeSet::from([$(stringify!($target).to_owned()),*]));
            assert_eq!(all, names(&folder().join("corpus")));
            let files: BTreeSet<_> = all.iter().map(|name| format!("{name}.rs")).collect();
            assert_eq!(files, names(&folder().join("targets")));
        }
    };
}

targets!(agent, agent_http, config, control, imds, journal, queue);
