//! One process of an agent.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Identifies one run of an agent: from its start to its end. No two runs have the same, on any boot. For a systemd unit it is
/// the `InvocationID` ([systemd.exec](https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Process(pub u128);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Process {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Process)
    }
}

impl From<Process> for String {
    fn from(process: Process) -> Self {
        process.to_string()
    }
}

impl TryFrom<String> for Process {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// What is seen of an agent's process from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// This process runs.
    Runs(Process),
    /// It is being stopped, or waits to be started again. It takes no work.
    Leaves,
    /// No process of the agent runs.
    Gone,
}
