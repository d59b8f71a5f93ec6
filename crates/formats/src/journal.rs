//! The content of the journal file.
//!
//! It is two lines of JSON: the journal, and the MD5 of the first line. Truncated JSON fails to parse, but a flipped digit
//! does not and would move a deadline. Hence the checksum.

use machine::journal::{Journal, VERSION, v1};
use md5::{Digest, Md5};
use serde::Deserialize;

use crate::text::cause;

/// The largest journal that is read, in bytes. A real one has a few kilobytes.
pub const JOURNAL_MAX: u64 = 1024 * 1024;

/// Encodes a journal as the content of the file.
pub fn encode(journal: &Journal) -> serde_json::Result<String> {
    let journal = serde_json::to_string(journal)?;
    let checksum = checksum(journal.as_bytes());
    Ok(format!("{journal}\n\"{checksum}\"\n"))
}

/// Decodes the content of the file. The error says what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Journal, String> {
    if bytes.len() as u64 > JOURNAL_MAX {
        return Err(format!("it is larger than {JOURNAL_MAX} bytes"));
    }
    let journal = whole(bytes).ok_or("it is truncated or corrupt: the checksum does not match")?;
    let version: Version = json(journal)?;
    match version.version {
        VERSION => json(journal),
        1 => Ok(Journal::from(json::<v1::Journal>(journal)?)),
        other => Err(format!("it has version {other}; this daemon reads versions 1 to {VERSION}")),
    }
}

/// The field that every version of the format has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| cause(&error))
}

/// The first line; `None` unless the second is its checksum and nothing follows.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (journal, rest) = bytes.split_at(end);
    (rest == format!("\n\"{}\"\n", checksum(journal)).as_bytes()).then_some(journal)
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:x}", Md5::digest(bytes))
}
