//! What a restart excuses.

use std::time::Duration;

use machine::Time;
use sim::world::Happening;

use super::play::{Drain, HOOK};
use crate::support::daemon::Stage;

/// Whether our message was hidden until the deadline; then it must be deleted too. A life that detected Wait with a heartbeat
/// never saw the message, and leaves it to the queue's retention.
pub fn hidden_for_long(stage: &Stage) -> bool {
    let instance = stage.instances();
    stage.history.iter().any(|(at, one)| match one {
        Happening::VisibilityChanged { about: Some(about), visible_at, .. } => {
            instance.iter().any(|id| **id == **about) && visible_at.since(*at) > HOOK
        }
        _ => false,
    })
}

/// The times from which one more heartbeat is allowed. A daemon was restarted, a dead daemon's call arrived after the restart,
/// or a response was lost and the daemon could not know that the heartbeat had arrived.
pub fn repeats(drain: Drain, stage: &Stage, restarts: &[Time]) -> Vec<Time> {
    let is_beat = |one: &Happening| matches!(one, Happening::Heartbeat { .. });
    let beats: Vec<Time> = stage.history.iter().filter(|(_, one)| is_beat(one)).map(|(at, _)| *at).collect();
    let late = restarts.iter().filter_map(|restart| beats.iter().find(|beat| *beat >= restart));
    let unanswered = beats.first().filter(|_| drain == Drain::AnswersLost);
    let after = late.chain(unanswered).map(|beat| *beat + Duration::from_millis(1));
    let mut repeats: Vec<Time> = restarts.iter().copied().chain(after).collect();
    repeats.sort();
    repeats
}
