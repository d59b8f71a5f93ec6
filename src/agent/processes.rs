//! Counts the processes that have a name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::io::Errno;

/// The longest name that Linux keeps of a process, in bytes (prctl(2), `PR_SET_NAME`).
const COMM_MAX: usize = 15;

/// The most of a process's files that is read, in bytes. Its first argument is at the start of its command line.
const READ_MAX: u64 = 4096;

/// The process that always runs. It belongs to another user than the daemon.
const FIRST: &str = "1";

/// How many running processes have this name: as Linux knows it, cut to 15 bytes, or as the last part of their first argument.
/// `proc` is the folder of the system's processes. Fails if it does not show all of them.
pub fn count(proc: &Path, name: &str) -> Result<u64, String> {
    stat(&proc.join(FIRST)).map_err(|error| {
        format!(
            "cannot see other users' processes ({error}); set ProtectProc=default in a drop-in of drainhook.service, as \
             docs/agents.md says"
        )
    })?;
    let told = |error: io::Error| format!("cannot list processes in {}: {error}", proc.display());
    let mut count = 0;
    for entry in fs::read_dir(proc).map_err(told)? {
        let entry = entry.map_err(told)?;
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        match is_named(&entry.path(), name.as_bytes()) {
            Ok(is_named) => count += u64::from(is_named),
            // It has ended since it was listed.
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(format!("cannot read {}: {error}", entry.path().display())),
        }
    }
    Ok(count)
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn is_named(process: &Path, name: &[u8]) -> io::Result<bool> {
    let stat = stat(process)?;
    let Some((comm, state)) = comm_and_state(&stat) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not as in proc_pid_stat(5)"));
    };
    if matches!(state, b'Z' | b'X') {
        return Ok(false);
    }
    if comm == &name[..name.len().min(COMM_MAX)] {
        return Ok(true);
    }
    let arguments = read(&process.join("cmdline"))?;
    let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(first.rsplit(|byte| *byte == b'/').next() == Some(name))
}

/// The name and the state in `PID (NAME) STATE …`. The name may have parentheses.
fn comm_and_state(stat: &[u8]) -> Option<(&[u8], u8)> {
    let start = stat.iter().position(|byte| *byte == b'(')?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    Some((stat.get(start + 1..end)?, *stat.get(end + 2)?))
}

fn stat(process: &Path) -> io::Result<Vec<u8>> {
    read(&process.join("stat"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(READ_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder like /proc, with these processes: id, name and state, and command line.
    fn proc(processes: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (id, stat, arguments) in processes {
            let process = folder.path().join(id);
            fs::create_dir(&process).expect("made");
            fs::write(process.join("stat"), format!("{id} {stat} 1 1")).expect("written");
            fs::write(process.join("cmdline"), arguments).expect("written");
        }
        fs::create_dir(folder.path().join("sys")).expect("made");
        folder
    }

    #[test]
    fn names() {
        let folder = proc(&[
            ("1", "(systemd) S", "/sbin/init\0splash\0"),
            ("2", "(kthreadd) S", ""),
            ("70", "(Runner.Worker) S", "/opt/runner/bin/Runner.Worker\0spawnclient\0"),
            ("71", "(Runner.Listener) S", "/opt/runner/bin/Runner.Listener\0run\0"),
            ("72", "(Runner.Worker) Z", ""),
            ("73", "(python3) R", "/usr/bin/worker.py\0Runner.Worker\0"),
            ("74", "(a (b) c) S", "a"),
            ("75", "(a-name-of-more-) S", "interpreter\0"),
        ]);
        let count = |name| count(folder.path(), name);
        assert_eq!(count("Runner.Worker"), Ok(1), "a zombie has ended, and an argument is no name");
        assert_eq!(count("worker.py"), Ok(1));
        assert_eq!(count("python3"), Ok(1));
        assert_eq!(count("a (b) c"), Ok(1));
        assert_eq!(count("a-name-of-more-than-15-bytes"), Ok(1));
        assert_eq!(count("Runner"), Ok(0));
        assert_eq!(count("sys"), Ok(0));
    }

    /// A sandbox hides the processes of other users. That none is found says nothing.
    #[test]
    fn hidden_processes() {
        let folder = proc(&[("70", "(drainhook) S", "/usr/bin/drainhook\0run\0")]);
        let why = count(folder.path(), "Runner.Worker").expect_err("it does not see the first process");
        assert!(why.contains("set ProtectProc=default in a drop-in of drainhook.service"), "{why}");
    }

    #[test]
    fn this_process() {
        let name = std::env::current_exe().expect("known");
        let name = name.file_name().expect("a file").to_str().expect("UTF-8");
        assert!(count(Path::new("/proc"), name).is_ok_and(|count| count >= 1));
    }
}
