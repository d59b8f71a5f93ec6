//! The termination queue, and when it is asked.

use super::build::Table;
use super::layers::Layers;
use super::{Listen, Problem, Queue};

/// The section `queue`.
pub(super) fn queue(layers: &Layers) -> Queue {
    let table = Table { layers, place: 0, section: "queue" };
    let listen = match table.word("listen").as_str() {
        "always" => Listen::Always,
        _ => Listen::AtNotice,
    };
    Queue { url: table.optional("url"), listen }
}

/// Refuses to listen without a queue, and to wait for a message without listening.
pub(super) fn check(layers: &Layers) -> Vec<Problem> {
    let given = |section, name| layers.given.get(&(0, section, name));
    let mut problems = Vec::new();
    let listens = queue(layers).listen == Listen::Always;
    if let Some(listen) = given("queue", "listen").filter(|_| listens && given("queue", "url").is_none()) {
        let origin = listen.origin.clone();
        problems.push(Problem::Alone { origin, key: "queue.listen", needs: "`queue.url`" });
    }
    if let Some(reservation) = given("lifecycle", "capacity_reservation").filter(|_| !listens) {
        let origin = reservation.origin.clone();
        let needs = "`queue.listen = \"always\"`";
        problems.push(Problem::Alone { origin, key: "lifecycle.capacity_reservation", needs });
    }
    problems
}
