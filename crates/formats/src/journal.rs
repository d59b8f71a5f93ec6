//! The content of the journal file.
//!
//! Two lines of JSON: the journal, and the MD5 of that line. Truncated JSON fails to parse, but a flipped digit does not:
//! it would be a journal with a deadline that nothing has set. Hence the checksum.

use machine::journal::{Journal, VERSION, v1};
use md5::{Digest, Md5};
use serde::Deserialize;

use crate::text::cause;

/// The longest journal that is read, in bytes. A real one has a few kilobytes.
pub const JOURNAL_MAX: u64 = 1024 * 1024;

/// The file's content.
pub fn encode(journal: &Journal) -> serde_json::Result<String> {
    let journal = serde_json::to_string(journal)?;
    let checksum = checksum(journal.as_bytes());
    Ok(format!("{journal}\n\"{checksum}\"\n"))
}

/// Reads the file's content, or says what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Journal, String> {
    if bytes.len() as u64 > JOURNAL_MAX {
        return Err(format!("it is larger than {JOURNAL_MAX} bytes"));
    }
    let journal = whole(bytes).ok_or("it was cut off or changed: its checksum is not that of its content")?;
    let version: Version = json(journal)?;
    match version.version {
        VERSION => json(journal),
        1 => Ok(Journal::from(json::<v1::Journal>(journal)?)),
        other => Err(format!("it has version {other}, and this daemon reads versions 1 to {VERSION}")),
    }
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| cause(&error))
}

/// The first line, if the second is its checksum and nothing follows.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (journal, rest) = bytes.split_at(end);
    (rest == format!("\n\"{}\"\n", checksum(journal)).as_bytes()).then_some(journal)
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:x}", Md5::digest(bytes))
}
