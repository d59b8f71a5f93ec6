//! Describes each happening in a few words.

use formats::text::shorten;
use machine::Time;
use sim::world::Happening;

/// The most that is shown of the answer to a rejected call, in characters.
const WHY_SHOWN_MAX: usize = 100;

/// What happened, and its details. `None` if it is not shown.
pub fn words(happening: &Happening, at: Time) -> Option<(&'static str, String)> {
    let in_seconds = |time: &Time| format!("{} s", time.since(at).as_secs());
    Some(match happening {
        Happening::InstanceLaunched { group, .. } => ("instance launched", format!("group {group}")),
        Happening::InstanceInService { .. } => ("in service", String::new()),
        Happening::TerminationRequested { cause, .. } => {
            let by_hand = cause.contains("taken out of service in response to a user request");
            (if by_hand { "termination requested" } else { "scale-in" }, String::new())
        }
        Happening::InstanceTerminating { state, .. } => (state, String::new()),
        Happening::ImdsFlipped { target, .. } => ("IMDS", format!("target-lifecycle-state: {target}")),
        Happening::WaitBegan { hook, state, expires, .. } => {
            (state, format!("hook {hook}, expires in {}", in_seconds(expires)))
        }
        Happening::MessageSent { queue, .. } => ("message sent", format!("queue {queue}")),
        Happening::MessageLost { queue, .. } => ("message lost", format!("queue {queue}")),
        Happening::MessageReceived { receive_count, .. } => (
            "message received",
            if *receive_count > 1 { format!("{receive_count} times so far") } else { String::new() },
        ),
        Happening::MessageDeleted { .. } => ("message deleted", String::new()),
        Happening::AgentDrainRequested { reason, deadline, in_flight, .. } => {
            let deadline = deadline.as_ref().map(|at| format!(", deadline in {}", in_seconds(at)));
            ("POST /drain", format!("{reason}, {in_flight} in flight{}", deadline.unwrap_or_default()))
        }
        Happening::WorkFinished { in_flight, .. } => ("work finished", format!("{in_flight} in flight")),
        Happening::AgentDrained { .. } => ("agent drained", String::new()),
        Happening::AgentReturned { .. } => ("DELETE /drain", "back in service".to_owned()),
        Happening::AgentExited { work_lost, .. } => ("agent exited", format!("{work_lost} work items lost")),
        Happening::AgentStarted { in_flight, .. } => {
            ("agent started", format!("serving, {in_flight} in flight"))
        }
        Happening::Heartbeat { expires, .. } => ("heartbeat", format!("expires in {}", in_seconds(expires))),
        Happening::HeartbeatRejected { why, .. } => ("heartbeat rejected", shorten(why, WHY_SHOWN_MAX)),
        Happening::Completed { hook, result, .. } => {
            ("completed", format!("hook {hook}, {}", result.as_str()))
        }
        Happening::CompletionRejected { why, .. } => ("completion rejected", shorten(why, WHY_SHOWN_MAX)),
        Happening::ActionExpired { result, global, .. } => {
            let which = if *global { "global timeout" } else { "heartbeat timeout" };
            ("action expired", format!("{which}, default result {}", result.as_str()))
        }
        Happening::ActionReleased { hook, .. } => ("action ended", format!("hook {hook}")),
        Happening::InstanceProceeding { .. } => ("Terminating:Proceed", String::new()),
        Happening::InstanceRetained { .. } => ("Terminating:Retained", String::new()),
        Happening::InstancePooled { .. } => ("Warmed:Running", "in the warm pool".to_owned()),
        Happening::ReplacingRootVolume { .. } => ("ReplacingRootVolume", String::new()),
        Happening::RootVolumeReplaced { .. } => ("reboot", "with a new root volume".to_owned()),
        Happening::InstanceTerminated { work_lost, .. } => {
            ("Terminated", format!("{work_lost} work items lost"))
        }
        Happening::ProtectionSet { protected: true, .. } => ("protected", "from scale-in".to_owned()),
        Happening::ProtectionSet { protected: false, .. } => ("protection lifted", String::new()),
        Happening::TargetRegistered { group, .. } => ("target registered", format!("target group {group}")),
        Happening::TargetDeregistered { group, until, .. } => {
            ("target deregistered", format!("target group {group}, draining for {}", in_seconds(until)))
        }
        Happening::TargetUnused { group, .. } => ("target unused", format!("target group {group}")),
        // The daemon logs its throttled calls itself.
        Happening::Throttled | Happening::VisibilityChanged { .. } | Happening::MessageExpired { .. } => {
            return None;
        }
    })
}
