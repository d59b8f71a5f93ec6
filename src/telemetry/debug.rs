//! The daemon's own log lines of level debug.
//!
//! Release builds leave out all events below `info` (`release_max_level_info` in `Cargo.toml`): the dependencies' debug events
//! are never logged, and their code would use memory on every instance. That also disables `tracing::debug!`. So the daemon's
//! own debug lines use a callsite that is defined here.

use std::array;
use std::fmt;

use tracing::callsite::DefaultCallsite;
use tracing::dispatcher;
use tracing::field::{Field, FieldSet, Value};
use tracing::metadata::Kind;
use tracing::{Event, Level, Metadata};

/// The fields that a line may have. The message comes first.
const NAMES: [&str; 7] = ["message", "event", "drain_id", "outcome", "agent", "agent_state", "in_flight"];

static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
static METADATA: Metadata<'static> = Metadata::new(
    "debug",
    "drainhook",
    Level::DEBUG,
    None,
    None,
    None,
    FieldSet::new(&NAMES, tracing_core::identify_callsite!(&CALLSITE)),
    Kind::EVENT,
);

/// The fields of a line besides its message, by the names that [`tell`](super::log::tell) uses. Fields that occur only in
/// reports above level debug are left out.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    /// The report's stable name.
    pub event: Option<&'a str>,
    /// The drain that the report belongs to.
    pub drain_id: Option<&'a str>,
    /// The drain's outcome.
    pub outcome: Option<&'a str>,
    /// The agent's name.
    pub agent: Option<&'a str>,
    /// The agent's state.
    pub agent_state: Option<&'a str>,
    /// The agent's work in flight.
    pub in_flight: Option<u64>,
}

/// Logs a message at level debug.
pub fn say(message: fmt::Arguments<'_>) {
    say_with(message, &Fields::default());
}

/// Logs a message with fields at level debug.
pub fn say_with(message: fmt::Arguments<'_>, said: &Fields<'_>) {
    dispatcher::get_default(|dispatch| {
        if !dispatch.enabled(&METADATA) {
            return;
        }
        let Fields { event, drain_id, outcome, agent, agent_state, in_flight } = said;
        let values: [&dyn Value; NAMES.len()] =
            [&message, event, drain_id, outcome, agent, agent_state, in_flight];
        let fields: Vec<Field> = METADATA.fields().iter().collect();
        let named = array::from_fn::<_, { NAMES.len() }, _>(|place| (&fields[place], Some(values[place])));
        dispatch.event(&Event::new(&METADATA, &METADATA.fields().value_set(&named)));
    });
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The log, if the daemon's own lines are logged from this level up.
    fn logged(level: Level) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).without_time();
        let subscriber = tracing_subscriber::registry()
            .with(Targets::new().with_target("drainhook", level))
            .with(layer.with_writer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let fields = Fields { agent: Some("web"), in_flight: Some(3), ..Fields::default() };
            say_with(format_args!("work: {}", 3), &fields);
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_of_level_debug() {
        let line: serde_json::Value = serde_json::from_str(&logged(Level::DEBUG)).unwrap();
        let expected = serde_json::json!({
            "level": "DEBUG", "target": "drainhook", "message": "work: 3", "agent": "web", "in_flight": 3,
        });
        assert_eq!(line, expected);
        assert_eq!(logged(Level::INFO), "");
    }
}
