//! The progress of tasks, in a folder that other instances share.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// The checkpoints of all tasks. Each is a few bytes, so blocking I/O is fine.
pub struct Checkpoints(PathBuf);

impl Checkpoints {
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Checkpoints(folder))
    }

    /// How many items of a task are delivered. A message keeps its id when it is received again.
    pub fn load(&self, id: &str) -> io::Result<usize> {
        match fs::read_to_string(self.0.join(id)) {
            Ok(text) => text.trim().parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    pub fn save(&self, id: &str, delivered: usize) -> io::Result<()> {
        let new = self.0.join(format!("{id}.new"));
        fs::write(&new, delivered.to_string())?;
        fs::rename(new, self.0.join(id))
    }

    pub fn forget(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
