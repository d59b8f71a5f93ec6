//! Status documents of agents.

use formats::agent::{self as document, Document, GAUGE_NAME_MAX, GAUGES_MAX, IN_FLIGHT_MAX};
use machine::Event;
use machine::event::{AgentAnswer, AgentStatus};

use super::cost::Cost;
use super::machine::Host;
use super::text::assert_line;

const COST: Cost = Cost { per_byte: 128, base: 8192 };

pub const KINDS: &[&str] = &["malformed", "status"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    let mut host = Host::draining();
    let (kind, answer) = match COST.of(data.len(), || document::read(data)) {
        Ok(Document { status, ignored }) => {
            well_formed(&status);
            ignored.iter().for_each(|ignored| assert_line(ignored));
            let written = serde_json::to_vec(&status).expect("a status is JSON");
            let again = document::read(&written).expect("what was read can be read again");
            assert_eq!(again.ignored, None);
            let again = again.status;
            assert_eq!((again.state, again.in_flight), (status.state, status.in_flight));
            assert_eq!(again.gauges, status.gauges);
            ("status", AgentAnswer::Accepted(Some(status)))
        }
        Err(why) => {
            assert_line(&why);
            ("malformed", AgentAnswer::Malformed(why))
        }
    };
    let id = host.asking().expect("the agent is asked");
    host.hear(Event::AgentAnswered { id, answer });
    host.live_on();
    vec![kind]
}

/// Checks that a status is fit for logs, metrics and operators.
pub fn well_formed(status: &AgentStatus) {
    assert!(status.in_flight.is_none_or(|count| count <= IN_FLIGHT_MAX));
    assert!(status.gauges.len() <= GAUGES_MAX);
    for (name, value) in &status.gauges {
        assert!(name.chars().count() <= GAUGE_NAME_MAX && value.is_finite(), "{name:?}: {value}");
        assert_line(name);
    }
    status.detail.iter().for_each(|detail| assert_line(detail));
}
