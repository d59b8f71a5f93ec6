//! A user, by name or by id: whom an agent runs as.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// The one user that is taken for any other.
pub const ROOT: u32 = 0;

/// What a user namespace shows of a user that it does not map (the kernel's `overflowuid`).
pub const UNMAPPED: u32 = 65_534;

/// Where names have their ids.
const PASSWD: &str = "/etc/passwd";

/// The most of it that is read.
const PASSWD_MAX: u64 = 4 * 1024 * 1024;

/// The longest name that Linux takes.
const NAME_MAX: usize = 32;

/// A user, by name or by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// Looked up in /etc/passwd at each connection: it may be created after the daemon has started.
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
                let mut text = Vec::new();
                std::fs::File::open(PASSWD)
                    .and_then(|file| file.take(PASSWD_MAX).read_to_end(&mut text))
                    .map_err(|error| {
                        io::Error::new(error.kind(), format!("cannot be looked up: {PASSWD}: {error}"))
                    })?;
                id_in(&String::from_utf8_lossy(&text), name).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("is not in {PASSWD}: write its user id instead"),
                    )
                })
            }
        }
    }
}

fn id_in(passwd: &str, name: &str) -> Option<u32> {
    let mut entries = passwd.lines().map(|line| line.split(':'));
    let mut entry = entries.find_map(|mut entry| (entry.next() == Some(name)).then_some(entry))?;
    entry.nth(1)?.parse().ok()
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
    fn ids_of_names() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nwork:x:1:1::/:\nworker:x:998:997::/:/sbin/nologin\nodd:x\n";
        assert_eq!(id_in(passwd, "worker"), Some(998));
        assert_eq!(id_in(passwd, "root"), Some(0));
        assert_eq!((id_in(passwd, "nobody"), id_in(passwd, "odd"), id_in(passwd, "x")), (None, None, None));
    }
}
