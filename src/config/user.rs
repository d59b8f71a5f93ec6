//! A user of this machine, by name or by id. The configuration may require that an agent runs as that user.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;

use formats::text::printable;

/// The id of root, which is accepted in place of any other user.
pub const ROOT: u32 = 0;

/// The id that a user namespace shows for users that it does not map (the kernel's `overflowuid`).
pub const UNMAPPED: u32 = 65_534;

/// The file that maps names to ids.
const PASSWD: &str = "/etc/passwd";

/// The most bytes of it that are read.
const PASSWD_MAX: u64 = 4 * 1024 * 1024;

/// The longest user name that Linux accepts.
const NAME_MAX: usize = 32;

/// A user, by name or by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A name. It is looked up in /etc/passwd at each connection, because the user may be created after the daemon starts.
    Name(String),
    /// A user id.
    Id(u32),
}

impl FromStr for User {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(User::Id).map_err(|_| ());
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@');
        let is_name = text.len() <= NAME_MAX && !text.starts_with('-') && text.chars().all(fits);
        if is_name { Ok(User::Name(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Name(name) => f.write_str(name),
            User::Id(id) => write!(f, "{id}"),
        }
    }
}

impl User {
    /// Its id. The error completes "the user …".
    pub fn id(&self) -> io::Result<u32> {
        match self {
            User::Id(id) => Ok(*id),
            User::Name(name) => {
                let passwd = passwd().map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot be looked up: {PASSWD}: {error}"))
                })?;
                id_in(&passwd, name).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("is not in {PASSWD}; set its user id instead"),
                    )
                })
            }
        }
    }
}

fn id_in(passwd: &str, name: &str) -> Option<u32> {
    entries(passwd).find(|(known, _)| *known == name).map(|(_, id)| id)
}

/// The name of a user on this machine. `None` if the id has no name, or if the sandbox hides the user.
pub fn name_of(id: u32) -> Option<String> {
    let passwd = passwd().ok()?;
    let entry = entries(&passwd).find(|(_, known)| *known == id && id != UNMAPPED);
    entry.map(|(name, _)| printable(name, NAME_MAX))
}

fn passwd() -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(PASSWD)?.take(PASSWD_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The name and the id in each line.
fn entries(passwd: &str) -> impl Iterator<Item = (&str, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids() {
        assert_eq!("worker".parse(), Ok(User::Name("worker".to_owned())));
        assert_eq!("0".parse(), Ok(User::Id(0)));
        for bad in ["4294967296", "-1", "two words", "a:b", "../x", &"u".repeat(33)] {
            assert_eq!(bad.parse::<User>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn names_of_ids() {
        assert_eq!(name_of(0).as_deref(), Some("root"));
        assert_eq!(name_of(UNMAPPED), None, "a namespace hides this user");
        assert_eq!(name_of(4_000_000_000), None);
    }

    #[test]
    fn ids_of_names() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nwork:x:1:1::/:\nworker:x:998:997::/:/sbin/nologin\nodd:x\n";
        assert_eq!(id_in(passwd, "worker"), Some(998));
        assert_eq!(id_in(passwd, "root"), Some(0));
        assert_eq!((id_in(passwd, "nobody"), id_in(passwd, "odd"), id_in(passwd, "x")), (None, None, None));
    }
}
