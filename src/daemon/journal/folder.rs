//! The journal's folder, and the checks on it.
//!
//! The daemon may run as root, and it trusts its journal. So it keeps no journal where another user could plant one, and
//! follows no link that another user may have planted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawMode, Stat, fstat, fsync, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

/// The mode of the folder, if the daemon creates it.
const FOLDER_MODE: RawMode = 0o700;

/// The mode of the journal file.
const FILE_MODE: RawMode = 0o600;

const GROUP_WRITES: RawMode = 0o020;
const OTHERS_WRITE: RawMode = 0o002;

/// Why a folder cannot hold a journal.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be created or opened.
    #[error("{}: {source}; set journal.dir to a folder that drainhook can write to", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It belongs to a user other than root and the daemon's user.
    #[error(
        "{} belongs to uid {owner}, and the daemon runs as uid {me}; run chown {me} {}, or set journal.dir",
        path.display(), path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The folder's owner.
        owner: u32,
        /// The daemon's user.
        me: u32,
    },
    /// Its mode lets other users write to it.
    #[error("other users can write to it; run chmod go-w {}, or set journal.dir to a folder below it", path.display())]
    Writable {
        /// The folder.
        path: PathBuf,
    },
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a file that the daemon wrote. Says what it is.
    #[error("{0}")]
    Unsafe(String),
}

/// For which user the folder is checked.
#[derive(Debug, Clone, Copy)]
pub enum Eyes {
    /// This process's user.
    Own,
    /// The folder's owner if this process runs as root. For a command that inspects the folder of a daemon that runs as another
    /// user.
    OwnersForRoot,
}

/// A user, and the user's own group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

/// Who could change a file or a folder, but must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Foreign(u32),
    Writable,
}

/// An open folder that only root and the daemon's user can write to.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    user: User,
}

impl Folder {
    /// Opens the folder. Creates it if it does not exist.
    pub fn make(path: &Path) -> Result<Self, Refused> {
        make_all(path).map_err(|source| Refused::Unusable { path: path.to_owned(), source })?;
        Folder::open(path, Eyes::Own)
    }

    /// Opens an existing folder.
    pub fn open(path: &Path, eyes: Eyes) -> Result<Self, Refused> {
        let unusable = |error: Errno| Refused::Unusable { path: path.to_owned(), source: error.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(unusable)?;
        let stat = fstat(&fd).map_err(unusable)?;
        let user = match eyes {
            Eyes::OwnersForRoot if geteuid().is_root() => User { uid: stat.st_uid, gid: stat.st_gid },
            Eyes::Own | Eyes::OwnersForRoot => User { uid: geteuid().as_raw(), gid: getegid().as_raw() },
        };
        match access(&stat, user) {
            Ok(()) => Ok(Folder { fd, path: path.to_owned(), user }),
            Err(Access::Foreign(owner)) => {
                Err(Refused::Foreign { path: path.to_owned(), owner, me: user.uid })
            }
            Err(Access::Writable) => Err(Refused::Writable { path: path.to_owned() }),
        }
    }

    /// The path of a file in it, for messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads at most `len_max + 1` bytes of a file; `None` if it does not exist.
    pub fn read(&self, name: &str, len_max: u64) -> Result<Option<Vec<u8>>, Unread> {
        // Otherwise opening a named pipe would block, and a terminal would become the daemon's controlling terminal.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(Unread::Unsafe("it is a symbolic link".to_owned())),
            // Opening a socket fails with ENXIO.
            Err(Errno::NXIO) => return Err(Unread::Unsafe("it is not a regular file".to_owned())),
            Err(error) => return Err(Unread::Io(error.into())),
        };
        let stat = fstat(&fd).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Unread::Unsafe("it is not a regular file".to_owned()));
        }
        match access(&stat, self.user) {
            Ok(()) => {}
            Err(Access::Foreign(owner)) => return Err(Unread::Unsafe(format!("it belongs to uid {owner}"))),
            Err(Access::Writable) => return Err(Unread::Unsafe("other users can write to it".to_owned())),
        }
        let mut bytes = Vec::new();
        File::from(fd).take(len_max + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Creates a file with this content, on disk when this returns. Removes an existing file or link, and does not follow it.
    pub fn write_new(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE));
        let fd = match create() {
            Err(Errno::EXIST) => {
                unlinkat(&self.fd, name, AtFlags::empty())?;
                create()?
            }
            created => created?,
        };
        let mut file = File::from(fd);
        file.write_all(content)?;
        file.sync_all()
    }

    /// Renames a file, and replaces any file with the new name. On disk when this returns.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        renameat(&self.fd, from, &self.fd, to)?;
        // The rename itself must be on disk too.
        Ok(fsync(&self.fd)?)
    }
}

/// Creates a folder and its parents. Only the last one gets the restricted mode.
fn make_all(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Checks that only root and the user can change this. The user's own group counts as the user.
fn access(stat: &Stat, user: User) -> Result<(), Access> {
    let (owner, group, mode) = (stat.st_uid, stat.st_gid, stat.st_mode);
    if owner != user.uid && owner != 0 {
        Err(Access::Foreign(owner))
    } else if mode & OTHERS_WRITE != 0 || (mode & GROUP_WRITES != 0 && group != user.gid) {
        Err(Access::Writable)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn who_can_change_it() {
        const USER: User = User { uid: 998, gid: 996 };
        let folder = tempfile::tempdir().expect("a folder");
        let mut stat = fstat(File::open(folder.path()).expect("a folder")).expect("read");
        let mut judged = |uid, gid, mode| {
            (stat.st_uid, stat.st_gid, stat.st_mode) = (uid, gid, mode);
            access(&stat, USER)
        };
        assert_eq!(judged(998, 996, 0o700), Ok(()));
        assert_eq!(judged(998, 996, 0o775), Ok(()), "a umask of 002, and a group of the user's own");
        assert_eq!(judged(0, 0, 0o755), Ok(()), "root made it");
        assert_eq!(judged(0, 996, 0o2770), Ok(()));
        assert_eq!(judged(998, 100, 0o770), Err(Access::Writable));
        assert_eq!(judged(998, 996, 0o1777), Err(Access::Writable));
        assert_eq!(judged(0, 0, 0o777), Err(Access::Writable));
        assert_eq!(judged(1000, 996, 0o700), Err(Access::Foreign(1000)));
    }

    #[test]
    fn a_new_folder_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("a/b");
        Folder::make(&deep).expect("made");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&deep), 0o700);
        Folder::make(&deep).expect("there already");
    }

    #[test]
    fn a_link_is_removed_and_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        std::fs::write(&target, "precious").expect("written");
        symlink(&target, folder.path().join("new")).expect("a fresh path");
        let ours = Folder::make(folder.path()).expect("ours");
        assert!(matches!(ours.read("new", 10), Err(Unread::Unsafe(_))));
        ours.write_new("new", b"content").expect("written");
        assert_eq!(ours.read("new", 10).expect("a file"), Some(b"content".to_vec()));
        assert_eq!(std::fs::read(&target).expect("there"), b"precious");
    }
}
