//! Why AWS has found no active action.

use std::time::Duration;

use super::super::effect::{CompletionResult, EffectId};
use super::super::event::{CallError, CallErrorKind, DescribedInstance};
use super::super::journal::Intention;
use super::super::report::Call;
use super::super::time::Time;
use super::super::turn::Turn;
use super::super::verdict::Verdict;
use super::lookup::failed_describe;
use super::{ActionTrack, Over};

/// For how long "too early" is believed without asking again.
const TOO_EARLY_FRESH: Duration = Duration::from_secs(30);

/// To the next question, where a completion under way has to be answered first.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Why was there no active action?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    asked_at: Time,
    /// The call was sent when Wait was known.
    conclusive: bool,
    /// It was a completion: another one has no more to find.
    completion: bool,
}

impl ActionTrack {
    /// `No active Lifecycle Action found` means too early, already done, expired or the wrong name. It says more
    /// than "too early" only if the call was sent when Wait was known; another refusal says nothing of the action, but
    /// the instance may be gone.
    pub(super) fn ask_why(&mut self, call: Call, sent: Time, now: Time, kind: CallErrorKind) {
        let conclusive =
            kind == CallErrorKind::NoActiveAction && self.record.wait_known_at.is_some_and(|at| at <= sent);
        let fresh = self.too_early_at.is_some_and(|at| now.since(at) < TOO_EARLY_FRESH);
        if conclusive || !fresh {
            let completion = call == Call::Complete;
            self.question = Some(Question { asked_at: now, conclusive, completion });
        }
    }

    /// Takes in what Auto Scaling says of the instance; `Some` says that the action is over.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<Option<DescribedInstance>, CallError>,
    ) -> Option<Over> {
        let sent = self.describe_instance.take(id)?;
        let instance = match result {
            Ok(instance) => instance,
            Err(error) => {
                failed_describe(&mut self.describe_instance, turn, Call::DescribeInstance, error);
                return None;
            }
        };
        self.describe_instance.succeeded(turn.now);
        if let Some(instance) = &instance {
            self.record.group.get_or_insert_with(|| instance.group.clone());
        }
        if instance.is_none() && self.record.group.is_none() {
            self.give_up(turn, "Auto Scaling knows no such instance: it is in no group".to_owned());
        }
        // What was seen before the question arose does not answer it.
        let question = self.question.take_if(|question| question.asked_at <= sent)?;
        let verdict = Verdict::of(instance.as_ref());
        let may_be_ours = verdict == Verdict::InService || (verdict == Verdict::Over && !question.completion);
        let beats = self.heartbeat.pending_since().is_some_and(|sent| sent > question.asked_at);
        let may_be_new = verdict == Verdict::Waiting && beats;
        if may_be_new || (may_be_ours && self.completion.is_pending()) {
            // Its answer will say whether there is an action after all.
            self.question = Some(question);
            self.describe_instance.succeeded(turn.now + ASK_AGAIN);
            return None;
        }
        self.judge(turn, verdict, question.conclusive)
    }

    fn judge(&mut self, turn: &mut Turn, verdict: Verdict, conclusive: bool) -> Option<Over> {
        let unanswered = self.record.unanswered;
        let over =
            unanswered.map_or(Over::Overtaken, |intent| Over::Completed(intent.outcome, intent.result));
        let ours = self.record.proven || unanswered.is_some();
        match verdict {
            Verdict::Over => Some(over),
            // Only an abandoned action ends like this.
            Verdict::Retained => Some(match unanswered {
                Some(Intention { outcome, result: CompletionResult::Abandon }) => {
                    Over::Completed(outcome, CompletionResult::Abandon)
                }
                Some(_) | None => Over::Overtaken,
            }),
            Verdict::InService if ours => Some(over),
            Verdict::InService if conclusive => Some(Over::Stale),
            Verdict::TooEarly | Verdict::InService => {
                self.too_early_at = Some(turn.now);
                self.not_waiting_at = Some(turn.now);
                self.record.wait_since = None;
                self.record.wait_known_at = None;
                // What does not wait yet has not been completed, and a token that has been told of is an earlier action's.
                self.record.unanswered = None;
                if conclusive {
                    self.refute_token();
                } else {
                    self.forget_token();
                }
                None
            }
            Verdict::Waiting if !conclusive => {
                if self.record.wait_since.is_none() {
                    let since = self.not_waiting_at.or(self.expected_since).unwrap_or(turn.now);
                    self.learn_wait(turn, since, "description");
                    // What was answered before Wait was known is asked once more, now that it is.
                    self.heartbeat.next_at = turn.now;
                }
                None
            }
            Verdict::Waiting if self.record.token.is_some() => {
                self.doubt_token(turn);
                None
            }
            // Our action is over; another hook's still waits.
            Verdict::Waiting if ours || self.is_listed() => Some(over),
            Verdict::Waiting => {
                self.doubt_hook(turn);
                None
            }
        }
    }

    /// The instance waits, and yet our token finds no action: it may be an old one's. The next calls name the instance.
    fn doubt_token(&mut self, turn: &mut Turn) {
        self.refute_token();
        // What was sent by that token says nothing of the instance.
        self.record.wait_known_at = Some(turn.now);
        self.heartbeat.next_at = turn.now;
        self.completion.next_at = turn.now;
    }

    /// Whether our hook is one of the group's.
    fn is_listed(&self) -> bool {
        self.record.hook.as_ref().is_some_and(|hook| self.hook_names.contains(&hook.name))
    }

    /// The instance waits, and yet our hook's name finds no action: somebody else's does.
    fn doubt_hook(&mut self, turn: &mut Turn) {
        let hook = self.record.hook.as_ref().map_or("", |hook| hook.name.as_str());
        let names = if self.hook_names.is_empty() { "none".to_owned() } else { self.hook_names.join(", ") };
        self.give_up(
            turn,
            format!(
                "the instance waits, but not for hook {hook}: the group's terminating hooks are {names}; set \
                 lifecycle.hook to the one that waits for this instance"
            ),
        );
    }
}
