//! What a daemon may do with the queue, which is shared.

use std::time::Duration;

use machine::Time;
use machine::effect::Effect;

use super::Reference;
use super::known::Phase;

/// After this long without an answer from IMDS the queue may be asked, with or without a drain.
const SILENCE: Duration = Duration::from_secs(60);

/// Others' messages may be hidden from them for at most this long.
const GIVEN_BACK: Duration = Duration::from_secs(5);

impl Reference {
    /// The queue is shared. It may be asked only for what no other source says.
    pub(super) fn asks_the_queue(&mut self, now: Time) {
        let silent = self.heard.as_ref().is_none_or(|(at, _)| now.since(*at) >= SILENCE);
        let searches = self.drain == Phase::UnderWay && (self.hook.is_none() || self.beat.is_none());
        if !self.settings.queue || !(silent || searches || self.listens(now)) {
            self.complain("asked the queue, which had nothing to add");
        }
    }

    /// A message may be deleted once its action is over and the journal says so.
    pub(super) fn deletes(&mut self, receipt: &str) {
        let Some(token) = self.receipts.get(receipt) else {
            return self.complain("deleted a message that is not ours");
        };
        let finished = token.as_ref().is_some_and(|token| self.kept.tokens.contains(token));
        let over = finished || self.spent.contains(receipt);
        if !over && !self.kept.ended && self.kept.started.is_some() {
            self.complain("deleted a message before the journal said that its action is over");
        }
    }

    /// Others' messages must be given back in the turn in which they arrived.
    pub(super) fn gives_back(&mut self, effects: &[Effect]) {
        let entries = effects.iter().flat_map(|effect| match effect {
            Effect::SetVisibility { entries, .. } => entries.as_slice(),
            _ => &[],
        });
        let mut back = entries.filter(|(_, hidden)| *hidden <= GIVEN_BACK).map(|(receipt, _)| receipt);
        let others = std::mem::take(&mut self.others);
        // In the order in which they arrived.
        if !others.iter().all(|receipt| back.any(|given| given == receipt)) {
            self.complain("did not give back others' messages");
        }
    }
}
