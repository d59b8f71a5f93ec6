//! Why AWS has found no active action.

use super::{Over, Wait};
use crate::effect::CompletionResult;
use crate::event::CallErrorKind;
use crate::journal::Intention;
use crate::report::Call;
use crate::standing::Standing;
use crate::time::Time;

/// The question that a refused call has raised: why was there no active action?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inquiry {
    pub asked_at: Time,
    call: Call,
    weight: Weight,
}

/// What a refusal is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// The call was sent when Wait was known: the action is over, or it is not this one.
    Conclusive,
    /// The action may not have begun to wait.
    Inconclusive,
}

/// What is known of the action when the answer comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// A heartbeat has succeeded by our names.
    pub proven: bool,
    /// Whether our hook is one of the group's, as far as that is known or will be.
    pub listed: Option<bool>,
    /// Only a message says that it waits.
    pub hearsay: bool,
    /// A completion that may have taken effect.
    pub unanswered: Option<Intention>,
    /// A completion is under way.
    pub completing: bool,
    /// When the heartbeat under way was sent.
    pub beating_since: Option<Time>,
}

/// What the answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A call under way will tell more: ask again after it.
    Pending,
    /// The action is over.
    Over(Over),
    /// It does not wait yet.
    TooEarly,
    /// It waits.
    Waits,
    /// It waits, as a message had said: the refused call may have come too early, or have met an older action.
    Confirmed,
    /// Another hook's action waits.
    WrongHook,
}

impl Inquiry {
    /// `No active Lifecycle Action found` means too early, already done, expired or the wrong name. It says more than
    /// "too early" only if the call was sent when Wait was known. Another refusal says nothing of the action, but the
    /// instance may be gone. `None` where Auto Scaling has just answered.
    pub fn of(wait: &Wait, call: Call, sent: Time, now: Time, kind: CallErrorKind) -> Option<Self> {
        let conclusive = kind == CallErrorKind::NoActiveAction && wait.was_known_at(sent);
        let weight = if conclusive { Weight::Conclusive } else { Weight::Inconclusive };
        (conclusive || !wait.is_freshly_absent(now)).then_some(Inquiry { asked_at: now, call, weight })
    }

    /// Judges by where Auto Scaling says that the instance stands.
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
                // Only an abandoned action ends like this.
                sent.result == CompletionResult::Abandon
            }))),
            (Standing::InService, _) if ours => Verdict::Over(Over::by(known.unanswered)),
            (Standing::InService, Weight::Conclusive) => Verdict::Over(Over::Stale),
            (Standing::TooEarly | Standing::InService, _) => Verdict::TooEarly,
            (Standing::Waiting, Weight::Inconclusive) => Verdict::Waits,
            (Standing::Waiting, Weight::Conclusive) if known.hearsay && !known.proven => Verdict::Confirmed,
            // Our action is over; another hook's still waits.
            (Standing::Waiting, Weight::Conclusive) if ours || known.listed == Some(true) => {
                Verdict::Over(Over::by(known.unanswered))
            }
            (Standing::Waiting, Weight::Conclusive) if known.listed.is_none() => Verdict::Pending,
            (Standing::Waiting, Weight::Conclusive) => Verdict::WrongHook,
        }
    }
}

impl Over {
    /// By the completion that may have taken effect, or without us.
    fn by(unanswered: Option<Intention>) -> Self {
        unanswered.map_or(Over::Overtaken, |sent| Over::Completed(sent.outcome, sent.result))
    }
}
