//! Which processes of an instance were told to drain by a signal. A second one cuts work off.

use machine::Time;
use machine::journal::Journal;
use machine::process::Process;

use super::Judge;

/// The signals to the agents of one instance.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The agent and its process.
    sent: Vec<(usize, Process)>,
    /// The next life of the daemon starts without the last journal.
    lost: bool,
}

impl Signals {
    /// A signal reaches a process. Returns whether it got one before.
    pub fn reaches(&mut self, agent: usize, process: Process) -> bool {
        let again = self.sent.contains(&(agent, process));
        self.sent.push((agent, process));
        again
    }

    /// The journal was lost, or the disk had refused the last one.
    pub fn forgets(&mut self) {
        self.lost = true;
    }

    /// A life of the daemon starts. If its last journal is lost, it still knows the processes that an older one names.
    pub fn starts(&mut self, disk: Option<&Journal>) {
        if std::mem::take(&mut self.lost) {
            let names = |agent: usize| disk.and_then(|disk| disk.agents.get(agent)?.told);
            self.sent.retain(|(agent, process)| names(*agent) == Some(*process));
        }
    }
}

impl Judge {
    /// A signal reaches a process of an agent. It must be the first one.
    pub fn signaled(&mut self, host: usize, now: Time, agent: usize, process: Process) {
        if self.each[host].signals.reaches(agent, process) {
            self.complains(host, now, &format!("signaled process {} of agent {agent} twice", process.0));
        }
    }

    /// Whether the daemon takes a process of another agent than the world's for told that was not told. Then the drain ends
    /// at its deadline.
    pub fn untold(&mut self, host: usize, is_untold: bool) {
        self.each[host].untold = is_untold;
    }
}
