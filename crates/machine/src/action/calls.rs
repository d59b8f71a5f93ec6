//! What heartbeats and completions have come to.

use std::time::Duration;

use super::super::backoff::Backoff;
use super::super::effect::EffectId;
use super::super::event::{CallError, CallErrorKind};
use super::super::heartbeat;
use super::super::journal::JournalTrack;
use super::super::report::{Call, Report};
use super::super::time::Time;
use super::super::turn::Turn;
use super::{ActionTrack, DENIED_RETRY, Over};

/// Between completions that did not work.
const COMPLETION_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

impl ActionTrack {
    /// Takes the result of a heartbeat in; `true` says that something has changed which must outlive the daemon.
    pub fn on_heartbeat(&mut self, turn: &mut Turn, id: EffectId, result: Result<(), CallError>) -> bool {
        let Some(sent) = self.heartbeat.take(id) else { return false };
        let Some(timeout) = self.record.hook.as_ref().map(|hook| hook.heartbeat_timeout) else {
            return false;
        };
        match result {
            Ok(()) => {
                if self.record.wait_since.is_none() {
                    let since = self.not_waiting_at.or(self.expected_since).unwrap_or(sent);
                    self.learn_wait(turn, since, "heartbeat");
                }
                self.record.proven = true;
                // It is active: whatever has found none before was wrong.
                self.question = None;
                self.heartbeats += 1;
                self.record.last_beat = Some(sent);
                self.denied = false;
                self.beat_at_once = false;
                let next_at = sent + heartbeat::interval(timeout, turn);
                self.heartbeat.succeeded(next_at);
                turn.report(Report::HeartbeatSent { expires: self.expires() });
                true
            }
            Err(error) => {
                self.retry_heartbeat(turn, sent, timeout, error.kind);
                let expected =
                    error.kind == CallErrorKind::NoActiveAction && self.record.wait_since.is_none();
                turn.call_failed(Call::Heartbeat, error, expected);
                false
            }
        }
    }

    fn retry_heartbeat(&mut self, turn: &mut Turn, sent: Time, timeout: Duration, kind: CallErrorKind) {
        let waiting = self.record.wait_since.is_some();
        match kind {
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected => {
                self.heartbeat.failed(turn, heartbeat::throttled_retry(timeout));
                if !waiting {
                    self.not_waiting_at = Some(sent);
                    self.heartbeat.succeeded(sent + heartbeat::probe_interval(timeout));
                }
                self.ask_why(Call::Heartbeat, sent, turn.now, kind);
            }
            CallErrorKind::Throttled => self.heartbeat.failed(turn, heartbeat::throttled_retry(timeout)),
            CallErrorKind::AccessDenied => {
                self.denied = true;
                self.heartbeat.succeeded(turn.now + heartbeat::denied_retry(timeout));
            }
            CallErrorKind::Credentials | CallErrorKind::Unsent | CallErrorKind::Unanswered => {
                self.heartbeat.failed(turn, heartbeat::retry(timeout));
            }
        }
    }

    /// Takes the result of a completion in; `Some` says that the action is over.
    pub fn on_completion(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        id: EffectId,
        result: Result<(), CallError>,
    ) -> Option<Over> {
        let sent = self.completion.take(id)?;
        let intention = self.record.intention?;
        let Err(error) = result else { return Some(Over::Completed(intention.outcome, intention.result)) };
        match error.kind {
            CallErrorKind::Unanswered if self.record.unanswered != Some(intention) => {
                self.record.unanswered = Some(intention);
                journal.touch();
            }
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected => {
                self.ask_why(Call::Complete, sent, turn.now, error.kind)
            }
            CallErrorKind::Unanswered
            | CallErrorKind::Throttled
            | CallErrorKind::AccessDenied
            | CallErrorKind::Credentials
            | CallErrorKind::Unsent => {}
        }
        self.completion.failed(turn, COMPLETION_RETRY);
        if error.kind == CallErrorKind::AccessDenied {
            self.completion.next_at = turn.now + DENIED_RETRY;
        }
        let expected = error.kind == CallErrorKind::NoActiveAction && self.record.wait_since.is_none();
        turn.call_failed(Call::Complete, error, expected);
        None
    }
}
