//! Finds out why AWS found no active action.

use super::{Over, Wait};
use crate::effect::CompletionResult;
use crate::event::CallErrorKind;
use crate::journal::Intention;
use crate::report::Call;
use crate::standing::Standing;
use crate::time::Time;

/// The open question why a call found no active action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inquiry {
    pub asked_at: Time,
    call: Call,
    weight: Weight,
}

/// How much a refusal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// The call was sent after Wait was known. The action is over, or the names are wrong.
    Conclusive,
    /// The action may not have reached Wait.
    Inconclusive,
}

/// What is known about the action when the description arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// A heartbeat succeeded with our names.
    pub proven: bool,
    /// Whether our hook is one of the group's. `None` while the hooks are unread and may still be read.
    pub listed: Option<bool>,
    /// Only a message says that it is in Wait.
    pub hearsay: bool,
    /// A completion that may have taken effect.
    pub unanswered: Option<Intention>,
    /// A completion is under way.
    pub completing: bool,
    /// When the heartbeat under way was sent.
    pub beating_since: Option<Time>,
}

/// What the description means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Undecided. A call under way will tell more, so ask again after it.
    Pending,
    /// The action is over.
    Over(Over),
    /// It is not in Wait yet.
    TooEarly,
    /// It is in Wait.
    Waits,
    /// It is in Wait, as a message said. The refused call may have come too early or have met an older action.
    Confirmed,
    /// Another hook's action is in Wait.
    WrongHook,
}

impl Inquiry {
    /// Opens an inquiry after a refusal. `No active Lifecycle Action found` means too early, already completed, expired or
    /// the wrong name. It rules out "too early" only if the call was sent after Wait was known. Any other refusal says
    /// nothing about the action, but the instance may be gone. `None` if Auto Scaling has just described the instance.
    pub fn of(wait: &Wait, call: Call, sent: Time, now: Time, kind: CallErrorKind) -> Option<Self> {
        let conclusive = kind == CallErrorKind::NoActiveAction && wait.was_known_at(sent);
        let weight = if conclusive { Weight::Conclusive } else { Weight::Inconclusive };
        (conclusive || !wait.is_freshly_absent(now)).then_some(Inquiry { asked_at: now, call, weight })
    }

    /// Judges by the instance's lifecycle state.
    pub fn verdict(&self, standing: Standing, known: Known) -> Verdict {
        let may_be_ours =
            standing == Standing::InService || (standing == Standing::Over && self.call != Call::Complete);
        let beats = known.beating_since.is_some_and(|sent| sent > self.asked_at);
        if (standing == Standing::Waiting && beats) || (may_be_ours && known.completing) {
            return Verdict::Pending;
        }
        let ours = known.proven || known.unanswered.is_some();
        match (standing, self.weight) {
            (Standing::Over, _) => Verdict::Over(Over::by(known.unanswered)),
            (Standing::Retained, _) => Verdict::Over(Over::by(known.unanswered.filter(|sent| {
                // Only an abandoned action leaves the instance retained.
                sent.result == CompletionResult::Abandon
            }))),
            (Standing::InService, _) if ours => Verdict::Over(Over::by(known.unanswered)),
            (Standing::InService, Weight::Conclusive) => Verdict::Over(Over::Stale),
            (Standing::TooEarly | Standing::InService, _) => Verdict::TooEarly,
            (Standing::Waiting, Weight::Inconclusive) => Verdict::Waits,
            (Standing::Waiting, Weight::Conclusive) if known.hearsay && !known.proven => Verdict::Confirmed,
            // Our action is over, and another hook's is still in Wait.
            (Standing::Waiting, Weight::Conclusive) if ours || known.listed == Some(true) => {
                Verdict::Over(Over::by(known.unanswered))
            }
            (Standing::Waiting, Weight::Conclusive) if known.listed.is_none() => Verdict::Pending,
            (Standing::Waiting, Weight::Conclusive) => Verdict::WrongHook,
        }
    }
}

impl Over {
    /// Ended by the completion that may have taken effect or, without one, by another caller.
    fn by(unanswered: Option<Intention>) -> Self {
        unanswered.map_or(Over::Overtaken, |sent| Over::Completed(sent.outcome, sent.result))
    }
}
