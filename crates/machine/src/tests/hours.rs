//! Every call fails at once for an hour. The number of calls stays low.

use super::super::effect::Effect;
use super::super::event::*;
use super::super::settings::Settings;
use super::bench::*;
use super::targets::target_group;

/// The most effects in an hour of failing calls. With a heartbeat timeout of 300 s, there are about 4,000: a request to an
/// agent every 5 s, heartbeats every 6 s, receives and descriptions every 30 s, the journal every 10 s, and a report for each.
const EFFECTS_MAX: usize = 5_000;

fn fail(effect: &Effect, kind: CallErrorKind) -> Option<Event> {
    let (id, error) = match effect {
        Effect::WriteJournal { id, .. } => {
            return Some(Event::JournalFailed { id: *id, why: "disk full".to_owned() });
        }
        Effect::AskAgent { id, .. } => {
            return Some(Event::AgentAnswered { id: *id, answer: AgentAnswer::Busy("503".to_owned()) });
        }
        Effect::AskReady { id, .. } => {
            return Some(Event::ReadyAnswered { id: *id, result: Err("503".to_owned()) });
        }
        Effect::AskBusy { id, .. } => {
            return Some(Event::BusyAnswered { id: *id, result: Err("503".to_owned()) });
        }
        Effect::RunStep { id, .. } | Effect::ForceAgent { id, .. } => {
            return Some(Event::StepEnded { id: *id, result: Err("exited with status 1".to_owned()) });
        }
        Effect::CancelRequest { .. } | Effect::StopStep { .. } => return None,
        Effect::Heartbeat { id, .. }
        | Effect::Complete { id, .. }
        | Effect::DescribeInstance { id }
        | Effect::DescribeHooks { id, .. }
        | Effect::Protect { id, .. }
        | Effect::ReceiveMessages { id, .. }
        | Effect::SetVisibility { id, .. }
        | Effect::DeleteMessage { id, .. }
        | Effect::DescribeTarget { id, .. }
        | Effect::DeregisterTarget { id, .. }
        | Effect::RegisterTarget { id, .. } => (*id, error(kind)),
    };
    Some(match effect {
        Effect::Heartbeat { .. } => Event::HeartbeatAnswered { id, result: Err(error) },
        Effect::Complete { .. } => Event::CompletionAnswered { id, result: Err(error) },
        Effect::DescribeInstance { .. } => Event::InstanceDescribed { id, result: Err(error) },
        Effect::DescribeHooks { .. } => Event::HooksDescribed { id, result: Err(error) },
        Effect::Protect { .. } => Event::ProtectionAnswered { id, result: Err(error) },
        Effect::ReceiveMessages { .. } => Event::MessagesReceived { id, result: Err(error) },
        Effect::SetVisibility { .. } => Event::VisibilitySet { id, result: Err(error) },
        Effect::DescribeTarget { .. } => Event::TargetDescribed { id, result: Err(error) },
        Effect::DeregisterTarget { .. } => Event::TargetDeregistered { id, result: Err(error) },
        Effect::RegisterTarget { .. } => Event::TargetRegistered { id, result: Err(error) },
        _ => Event::MessageDeleted { id, result: Err(error) },
    })
}

#[test]
fn hour_of_failing_calls() {
    for kind in [
        CallErrorKind::NoActiveAction,
        CallErrorKind::Throttled,
        CallErrorKind::AccessDenied,
        CallErrorKind::Unsent,
        CallErrorKind::Unanswered,
        CallErrorKind::Rejected,
    ] {
        for drained in [false, true] {
            let mut bench =
                Bench::waiting(Settings { targets: vec![target_group("web", 3600)], ..settings() });
            if drained {
                bench.drained();
            }
            bench.disk = Disk::Hangs;
            bench.state = None;
            bench.hooks = None;
            let start = (bench.now, bench.log.len());
            while bench.now < start.0 + secs(3600) {
                let mut at_once = 0;
                while let Some(event) = bench.open.pop().and_then(|effect| fail(&effect, kind)) {
                    bench.event(event);
                    at_once += 1;
                    assert!(at_once < 20, "{kind:?}: a loop without a pause");
                }
                bench.wake();
            }
            let effects = bench.log.len() - start.1;
            assert!(effects <= EFFECTS_MAX, "{kind:?}, drained: {drained}: {effects}");
        }
    }
}
