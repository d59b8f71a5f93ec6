//! What the agent has said so far, and where it contradicts itself or docs/openapi.yaml. Pure.

use machine::event::{AgentState, AgentStatus};

/// How many differences from the document are kept.
const COMPLAINTS_MAX: usize = 3;

/// What the agent has said so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// How many answers were compared with the document.
    pub answers: u32,
    /// The differences of the answers from the document.
    pub complaints: Vec<String>,
    /// The first time that it went back during a drain.
    pub step_back: Option<String>,
    /// The first "drained" with work in flight.
    pub contradiction: Option<AgentStatus>,
    /// How often it said how much is in flight.
    pub counts: u32,
    /// What it was told last.
    told: Told,
    /// Its state in its last status document.
    last: Option<AgentState>,
    /// The work in flight in its last status document.
    in_flight: Option<u64>,
}

/// What the agent was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Told {
    /// It was never told to drain.
    #[default]
    Nothing,
    /// To drain.
    Drain,
    /// To drain, and it was restarted since. It may say "serving" once.
    DrainThenRestarted,
    /// To return to service, or it has forgotten the drain because it was restarted.
    Return,
}

impl Heard {
    /// Whether it was told to drain, and not returned since.
    pub fn is_told(&self) -> bool {
        match self.told {
            Told::Drain | Told::DrainThenRestarted => true,
            Told::Nothing | Told::Return => false,
        }
    }

    /// Whether it was told to drain at least once.
    pub fn was_told(&self) -> bool {
        self.told != Told::Nothing
    }

    /// It accepted a drain request.
    pub fn told(&mut self) {
        self.told = Told::Drain;
        // It has not drained until it says so again.
        self.last = None;
    }

    /// It accepted the request that returns it to service.
    pub fn returned(&mut self) {
        self.told = Told::Return;
        self.last = None;
    }

    /// It was restarted.
    pub fn restarted(&mut self) {
        if self.is_told() {
            self.told = Told::DrainThenRestarted;
        }
        self.last = None;
    }

    /// It returned a status document.
    pub fn status(&mut self, status: &AgentStatus) {
        match (self.last, status.state) {
            (_, AgentState::Serving) if self.told == Told::DrainThenRestarted => self.told = Told::Return,
            (_, AgentState::Serving) if self.told == Told::Drain => {
                self.step_back.get_or_insert_with(|| {
                    format!("{}, though it was told to drain and not returned", shown(status))
                });
            }
            (Some(AgentState::Drained), AgentState::Draining) => {
                self.step_back.get_or_insert_with(|| format!("{}, after \"drained\"", shown(status)));
            }
            (_, AgentState::Serving | AgentState::Draining | AgentState::Drained) => {}
        }
        if let (AgentState::Drained, Some(1..)) = (status.state, status.in_flight) {
            self.contradiction.get_or_insert_with(|| status.clone());
        }
        self.counts += u32::from(status.in_flight.is_some());
        self.last = Some(status.state);
        self.in_flight = status.in_flight;
    }

    /// Compared an answer to a request, such as `GET /drain`, with the document.
    pub fn compared(&mut self, request: &str, complaints: Vec<String>) {
        self.answers += 1;
        for complaint in complaints {
            let complaint = format!("{request}: {complaint}");
            if self.complaints.len() < COMPLAINTS_MAX && !self.complaints.contains(&complaint) {
                self.complaints.push(complaint);
            }
        }
    }

    /// What a termination would have cut now, in words.
    pub fn work(&self) -> String {
        tasks(self.in_flight)
    }
}

/// The work in flight, in words.
pub fn tasks(in_flight: Option<u64>) -> String {
    match in_flight {
        None | Some(0) => "whatever is in flight then".to_owned(),
        Some(1) => "the task in flight".to_owned(),
        Some(count) => format!("the {count} tasks in flight"),
    }
}

/// A status in words: `draining, 3 in flight`.
pub fn shown(status: &AgentStatus) -> String {
    let state = match status.state {
        AgentState::Serving => "serving",
        AgentState::Draining => "draining",
        AgentState::Drained => "drained",
    };
    status.in_flight.map_or_else(|| state.to_owned(), |count| format!("{state}, {count} in flight"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: AgentState, in_flight: Option<u64>) -> AgentStatus {
        AgentStatus { state, in_flight, gauges: Default::default(), detail: None }
    }

    /// An agent drains, and is restarted. It says "serving" once, and once more after it was told again.
    #[test]
    fn a_restart_is_forgotten_once() {
        let mut heard = Heard::default();
        heard.told();
        heard.status(&status(AgentState::Draining, Some(2)));
        assert_eq!(heard.work(), "the 2 tasks in flight");
        heard.restarted();
        heard.status(&status(AgentState::Serving, None));
        assert!(!heard.is_told() && heard.step_back.is_none(), "{heard:?}");
        heard.told();
        heard.status(&status(AgentState::Serving, None));
        let step_back = heard.step_back.expect("it was told");
        assert_eq!(step_back, "serving, though it was told to drain and not returned");
    }

    #[test]
    fn drained_and_then_not() {
        let mut heard = Heard::default();
        heard.told();
        heard.status(&status(AgentState::Drained, Some(0)));
        assert!(heard.contradiction.is_none());
        heard.status(&status(AgentState::Draining, Some(1)));
        assert_eq!(heard.step_back.as_deref(), Some("draining, 1 in flight, after \"drained\""));
        heard.status(&status(AgentState::Drained, Some(1)));
        assert_eq!(heard.contradiction.as_ref().map(shown).as_deref(), Some("drained, 1 in flight"));
        heard.told();
        let before = heard.step_back.clone();
        heard.status(&status(AgentState::Draining, Some(1)));
        assert_eq!(heard.step_back, before, "another request takes it back");
    }

    #[test]
    fn the_same_complaint_once() {
        let mut heard = Heard::default();
        for _ in 0..3 {
            heard.compared("GET /drain", vec!["state is missing".to_owned()]);
        }
        assert_eq!((heard.answers, heard.complaints), (3, vec!["GET /drain: state is missing".to_owned()]));
    }
}
