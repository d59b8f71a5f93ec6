//! The journal: the bytes as they are, and again with a correct checksum, which a fuzzer cannot find.

use formats::journal::{decode, encode};
use md5::{Digest, Md5};

use super::cost::Cost;
use super::machine::Host;
use super::text::assert_line;

const COST: Cost = Cost { per_byte: 64, base: 8192 };

pub const KINDS: &[&str] = &["damaged", "journal"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    let as_it_is = read(data);
    let mut sealed: Vec<u8> = data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
    let checksum = format!("\n\"{:x}\"\n", Md5::digest(&sealed));
    sealed.extend(checksum.as_bytes());
    vec![as_it_is, read(&sealed)]
}

fn read(bytes: &[u8]) -> &'static str {
    let journal = match COST.of(bytes.len(), || decode(bytes)) {
        Ok(journal) => journal,
        Err(why) => {
            assert_line(&why);
            return "damaged";
        }
    };
    let written = encode(&journal).expect("a journal is JSON");
    // Writing adds `null` for each missing field, which can make the journal too long to read.
    if written.len() <= 1024 * 1024 {
        assert_eq!(decode(written.as_bytes()).as_ref(), Ok(&journal));
    }
    Host::started(Some(journal)).live_on();
    "journal"
}
