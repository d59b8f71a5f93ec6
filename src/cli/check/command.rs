//! Looks at the programs of agents that are drained by a command, and of after steps. Runs none of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::part::Part;
use super::requirement;
use crate::cli::output::word;
use crate::config::{self, CommandAgent};
use crate::preset::Preset;

/// The longest first line of a script that is read: Linux reads no more of it (BINPRM_BUF_SIZE).
const FIRST_LINE_MAX: u64 = 256;

/// The start of a binary.
const ELF: &[u8] = b"\x7fELF";

/// A row for an agent that is drained by a command.
pub fn row(agent: &config::Agent, command: &CommandAgent) -> Part {
    let drain = written(&command.drain);
    let part = Part::ok("agent", format!("{}: drained by {drain}", agent.name));
    let programs = [("agent.command", Some(&command.drain)), ("agent.return.command", command.back.as_ref())];
    let mut wrong = programs.into_iter().filter_map(|(key, words)| Some((wrong(words?)?, key)));
    if let Some((why, key)) = wrong.next() {
        return Part::ok("agent", why).failed(format!("correct the program, or set {key}"));
    }
    let preset = agent.preset.as_deref().and_then(Preset::named);
    let limits = preset.map(|preset| requirement::of_command(&preset, &command.drain, agent.drain_timeout));
    limits.into_iter().flatten().fold(part, |part, why| part.failed(why))
}

/// A row for each after step, in order.
pub fn steps(steps: &[config::Step]) -> Vec<Part> {
    let row = |(place, step): (usize, &config::Step)| {
        let number = place + 1;
        match wrong(&step.command) {
            Some(why) => Part::ok("after step", format!("{number}: {why}"))
                .failed("correct the program, or set after.command; without it, the step fails"),
            None => Part::ok("after step", format!("{number}: {}", written(&step.command))),
        }
    };
    steps.iter().enumerate().map(row).collect()
}

/// Why a command's program could not be started.
fn wrong(words: &[String]) -> Option<String> {
    let program = Path::new(words.first()?);
    let why = look(program).err()?;
    Some(format!("{}: {why}", program.display()))
}

/// A command as a shell takes it.
pub fn written(words: &[String]) -> String {
    words.iter().map(|one| word(one)).collect::<Vec<_>>().join(" ")
}

/// Whether the program could be started.
fn look(program: &Path) -> Result<(), String> {
    let metadata = fs::metadata(program).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("it is not executable; run chmod +x {}", word(&program.display().to_string())));
    }
    match first_line(program) {
        Ok(start) if start.starts_with(ELF) => Ok(()),
        Ok(start) => match interpreter(&start) {
            None => Err("it is neither a binary nor a script that starts with #!".to_owned()),
            Some(path) if Path::new(&path).exists() => Ok(()),
            Some(path) if path.ends_with('\r') => {
                Err("its first line ends with a carriage return; save it with Unix line ends".to_owned())
            }
            Some(path) => Err(format!("its interpreter {path} does not exist")),
        },
        // The daemon may run a program that this user cannot read.
        Err(_) => Ok(()),
    }
}

fn first_line(program: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(program)?.take(FIRST_LINE_MAX).read_to_end(&mut start)?;
    Ok(start)
}

/// The interpreter that a script names.
fn interpreter(start: &[u8]) -> Option<String> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // Linux splits the line at spaces and tabs only. With Windows line ends, the interpreter's name ends with \r.
    String::from_utf8_lossy(line).split([' ', '\t']).find(|word| !word.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = |name: &str, text: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            look(&path).err().unwrap_or_default()
        };
        assert_eq!(script("good", "#!/bin/sh -e\nexit 0\n", 0o755), "");
        assert!(script("plain", "#!/bin/sh\n", 0o644).starts_with("it is not executable; run chmod +x /"));
        assert_eq!(
            script("bare", "exit 0\n", 0o755),
            "it is neither a binary nor a script that starts with #!"
        );
        assert_eq!(script("lost", "#! /no/such x\n", 0o755), "its interpreter /no/such does not exist");
        assert_eq!(
            script("windows", "#!/bin/sh\r\nexit 0\r\n", 0o755),
            "its first line ends with a carriage return; save it with Unix line ends"
        );
        assert_eq!(look(Path::new("/bin/true")), Ok(()));
        assert_eq!(look(folder.path()), Err("it is not a file".to_owned()));
        assert_eq!(
            look(&folder.path().join("none")),
            Err("No such file or directory (os error 2)".to_owned())
        );
    }
}
