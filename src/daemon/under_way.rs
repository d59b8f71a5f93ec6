//! The effects that are being performed. Each gets exactly one result, even if it panics. A canceled effect gets none.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use tokio::task::{AbortHandle, JoinSet};

use machine::effect::EffectId;
use machine::event::{AgentAnswer, CallError, CallErrorKind};
use machine::{Effect, Event};

/// The effects that are being performed. Dropping this stops them.
#[derive(Debug, Default)]
pub struct UnderWay {
    tasks: JoinSet<(EffectId, Event)>,
    handles: BTreeMap<EffectId, AbortHandle>,
}

impl UnderWay {
    /// Starts an effect with `perform`. `CancelRequest` and `StopStep` cancel an earlier effect instead.
    pub fn start<F>(&mut self, effect: Effect, perform: impl FnOnce(Effect) -> F)
    where
        F: Future<Output = Event> + Send + 'static,
    {
        if let Effect::CancelRequest { id } | Effect::StopStep { id } = effect {
            #[cfg(debug_assertions)]
            let point = super::kill::Point::before(&effect);
            self.cancel(id);
            #[cfg(debug_assertions)]
            point.after();
            return;
        }
        let (id, failed) = failure(&effect);
        let performing = perform(effect);
        let task = async move {
            match caught(performing).await {
                Ok(event) => (id, event),
                Err(panic) => {
                    let why = format!("the attempt panicked: {panic}");
                    tracing::error!("a defect in drainhook: {why}; please report it");
                    (id, failed(id, why))
                }
            }
        };
        self.handles.insert(id, self.tasks.spawn(task));
    }

    /// Stops an effect and drops its result, even if the result has already arrived.
    fn cancel(&mut self, id: EffectId) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.abort();
        }
    }

    /// The next result; `None` if nothing is being performed.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // Panics are caught within the task, so an effect without a result was canceled.
            if let Ok((id, event)) = self.tasks.join_next().await?
                && self.handles.remove(&id).is_some()
            {
                return Some(event);
            }
        }
    }
}

/// An effect's id, and the result that says that it could not be performed.
fn failure(effect: &Effect) -> (EffectId, fn(EffectId, String) -> Event) {
    fn unanswered<T>(message: String) -> Result<T, CallError> {
        Err(CallError { kind: CallErrorKind::Unanswered, message })
    }
    match *effect {
        Effect::WriteJournal { id, .. } => (id, |id, why| Event::JournalFailed { id, why }),
        Effect::AskAgent { id, .. } | Effect::CancelRequest { id } => {
            (id, |id, why| Event::AgentAnswered { id, answer: AgentAnswer::Busy(why) })
        }
        Effect::AskReady { id, .. } => (id, |id, why| Event::ReadyAnswered { id, result: Err(why) }),
        Effect::AskBusy { id, .. } => (id, |id, why| Event::BusyAnswered { id, result: Err(why) }),
        Effect::ForceAgent { id, .. } | Effect::RunStep { id, .. } | Effect::StopStep { id } => {
            (id, |id, why| Event::StepEnded { id, result: Err(why) })
        }
        Effect::Heartbeat { id, .. } => {
            (id, |id, why| Event::HeartbeatAnswered { id, result: unanswered(why) })
        }
        Effect::Complete { id, .. } => {
            (id, |id, why| Event::CompletionAnswered { id, result: unanswered(why) })
        }
        Effect::DescribeInstance { id } => {
            (id, |id, why| Event::InstanceDescribed { id, result: unanswered(why) })
        }
        Effect::DescribeHooks { id, .. } => {
            (id, |id, why| Event::HooksDescribed { id, result: unanswered(why) })
        }
        Effect::Protect { id, .. } => {
            (id, |id, why| Event::ProtectionAnswered { id, result: unanswered(why) })
        }
        Effect::ReceiveMessages { id, .. } => {
            (id, |id, why| Event::MessagesReceived { id, result: unanswered(why) })
        }
        Effect::SetVisibility { id, .. } => {
            (id, |id, why| Event::VisibilitySet { id, result: unanswered(why) })
        }
        Effect::DeleteMessage { id, .. } => {
            (id, |id, why| Event::MessageDeleted { id, result: unanswered(why) })
        }
        Effect::DescribeTarget { id, .. } => {
            (id, |id, why| Event::TargetDescribed { id, result: unanswered(why) })
        }
        Effect::DeregisterTarget { id, .. } => {
            (id, |id, why| Event::TargetDeregistered { id, result: unanswered(why) })
        }
        Effect::RegisterTarget { id, .. } => {
            (id, |id, why| Event::TargetRegistered { id, result: unanswered(why) })
        }
    }
}

/// Runs a future. Returns its panic as an error.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Err(panic) => Poll::Ready(Err(panic_message(&*panic).to_owned())),
        }
    })
    .await
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: EffectId = EffectId(7);
    const DELETION: EffectId = EffectId(8);

    fn describe(id: EffectId) -> Effect {
        Effect::DescribeInstance { id }
    }

    fn deletion() -> Effect {
        Effect::DeleteMessage { id: DELETION, receipt: String::new() }
    }

    #[tokio::test]
    async fn an_effect_that_panics_has_a_result() {
        let mut under_way = UnderWay::default();
        under_way.start(describe(BEAT), |_| async { panic!("no root certificates") });
        match under_way.next().await {
            Some(Event::InstanceDescribed { id: BEAT, result: Err(error) }) => {
                assert!(error.message.contains("no root certificates"), "{error}");
                assert_eq!(error.kind, CallErrorKind::Unanswered);
            }
            other => panic!("{other:?}"),
        }
        assert!(under_way.next().await.is_none());
    }

    #[tokio::test]
    async fn a_canceled_effect_has_no_result() {
        let mut under_way = UnderWay::default();
        under_way.start(describe(BEAT), |_| std::future::pending());
        under_way.start(deletion(), |_| async { Event::MessageDeleted { id: DELETION, result: Ok(()) } });
        under_way.cancel(BEAT);
        assert!(matches!(under_way.next().await, Some(Event::MessageDeleted { id: DELETION, .. })));
        assert!(under_way.next().await.is_none());
    }

    /// The effect has finished, but its result has not been taken.
    #[tokio::test]
    async fn a_finished_effect_can_be_canceled() {
        let mut under_way = UnderWay::default();
        let (done, told) = tokio::sync::oneshot::channel();
        under_way.start(deletion(), |_| async {
            done.send(()).expect("the effect waits for it");
            Event::MessageDeleted { id: DELETION, result: Ok(()) }
        });
        told.await.expect("it is performed");
        under_way.cancel(DELETION);
        assert!(under_way.next().await.is_none());
    }
}
