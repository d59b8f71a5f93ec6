//! Judges the group's hooks. Pure.

use std::time::Duration;

use super::part::Part;
use crate::cli::output::whole;
use machine::effect::CompletionResult;
use machine::event::Hook;
use machine::hook::{self, Owner};
use machine::settings::Settings;

/// The least that PutLifecycleHook accepts. In less time, a heartbeat and its two retries would not fit.
const HEARTBEAT_TIMEOUT_MIN: Duration = Duration::from_secs(30);

/// The heartbeat timeout in the command that creates a hook.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);

/// The shortest heartbeat timeout that keeps a hook alive for the whole drain. The global timeout is 100 heartbeat timeouts.
fn shortest(settings: &Settings) -> Duration {
    Duration::from_secs(settings.drain_timeout().as_secs().div_ceil(100))
}

/// Judges the hook that the daemon would choose from the result of DescribeLifecycleHooks.
pub fn judge(settings: &Settings, group: &str, hooks: &[Hook]) -> Part {
    let chosen = match hook::choose(settings, group, hooks) {
        Ok(chosen) => chosen,
        Err(why) if hooks.iter().any(|hook| hook.terminating) => {
            return Part::ok("hook", "none to complete").failed(why);
        }
        Err(why) => {
            return Part::ok("hook", "none to complete").failed(format!(
                "{why}: aws autoscaling put-lifecycle-hook --auto-scaling-group-name {group} --lifecycle-hook-name drain \
                 --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --default-result CONTINUE \
                 --heartbeat-timeout {}",
                HEARTBEAT_TIMEOUT.max(shortest(settings)).as_secs()
            ));
        }
    };
    let terminating = hooks.iter().filter(|hook| hook.terminating);
    let default = terminating.clone().find(|hook| hook.name == chosen.name).map(|hook| hook.default_result);
    let default = default.unwrap_or(CompletionResult::Abandon);
    let (heartbeat, global) = (chosen.heartbeat_timeout, chosen.global_timeout);
    let mut found = format!(
        "{}: heartbeat timeout {}, {} in all, default result {default}",
        chosen.name,
        whole(heartbeat),
        whole(global)
    );
    // The default result is always given, so that the command does not reset it.
    let put = |default: CompletionResult| {
        format!(
            "aws autoscaling put-lifecycle-hook --auto-scaling-group-name {group} --lifecycle-hook-name {} \
             --default-result {default}",
            chosen.name
        )
    };
    let mut warnings = Vec::new();
    for hook in terminating.clone() {
        let owner = hook::owner(settings, hook);
        match (&owner, hook.name == chosen.name) {
            (Owner::Us | Owner::Unknown, _) => {}
            (Owner::Controller(_), true) => warnings.push(format!(
                "lifecycle.hook is {}, which belongs to {owner}; completing it would end that controller's wait; create a \
                 hook for drainhook, and set lifecycle.hook to its name",
                hook.name
            )),
            (Owner::Queue(_), true) => warnings.push(format!(
                "{} notifies {owner}, but queue.url is another queue; correct one of them",
                hook.name
            )),
            (Owner::Controller(_) | Owner::Queue(_), false) => {
                found.push_str(&format!("; {} is left to {owner}", hook.name));
            }
        }
    }
    let mut part = warnings.into_iter().fold(Part::ok("hook", found), Part::warning);
    let drain_timeout = settings.drain_timeout();
    if drain_timeout > global {
        let needed = shortest(settings);
        let several = settings.agents.iter().any(|agent| agent.order != settings.agents[0].order);
        let time = if several {
            "the agents' drain_timeout, one order after the other,"
        } else {
            "agent.drain_timeout"
        };
        part = part.failed(format!(
            "{time} is {}, but the hook cannot be kept alive for longer than {} (100 heartbeat timeouts, 48h \
             at most); lower drain_timeout, or raise the heartbeat timeout to {}: {} --heartbeat-timeout {}",
            whole(drain_timeout),
            whole(global),
            whole(needed),
            put(default),
            needed.as_secs()
        ));
    }
    if heartbeat < HEARTBEAT_TIMEOUT_MIN {
        part = part.warning(format!(
            "its heartbeat timeout is so short that one slow call can let the action expire; raise it: {} \
             --heartbeat-timeout {}",
            put(default),
            HEARTBEAT_TIMEOUT_MIN.as_secs()
        ));
    }
    if default == CompletionResult::Abandon && terminating.count() > 1 {
        part = part.warning(format!(
            "if the action expires, its default result ABANDON also ends the group's other hooks; to let them finish, run \
             {} --heartbeat-timeout {}",
            put(CompletionResult::Continue),
            heartbeat.as_secs()
        ));
    }
    part
}

/// Judges whether the daemon can complete a hook that could not be read.
pub fn unread(settings: &Settings, queue: bool, error: &str) -> Part {
    match &settings.hook {
        Some(name) => {
            let assumed = hook::assume(settings, name);
            Part::ok("hook", format!("{name}, which could not be read")).warning(format!(
                "drainhook assumes a heartbeat timeout of {}: {error}",
                whole(assumed.heartbeat_timeout)
            ))
        }
        None if queue => Part::ok("hook", "it could not be read").warning(format!(
            "only a message on the queue would name it, and messages can be lost; set lifecycle.hook, or fix this: {error}"
        )),
        None => Part::ok("hook", "it could not be read").failed(format!(
            "drainhook does not know which hook to complete; set lifecycle.hook, or fix this: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::part::State;
    use machine::settings::{AgentSettings, DrainAt, OnExit, Protocol};

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn settings(drain_timeout: Duration) -> Settings {
        Settings {
            instance_id: "i-0123456789abcdef0".to_owned(),
            boot_id: None,
            booted_at: None,
            group: None,
            agents: vec![AgentSettings {
                name: "worker".to_owned(),
                drain_timeout,
                unreachable_grace: secs(60),
                order: 1,
                on_exit: OnExit::Failed,
                poll: secs(1),
                protocol: Protocol::Polled,
                zero_for: None,
                force: None,
            }],
            after: Vec::new(),
            targets: Vec::new(),
            queue: false,
            queue_name: None,
            listen: machine::settings::Listen::AtNotice,
            capacity_reservation: None,
            hook: None,
            heartbeat_timeout: None,
            drain_at: DrainAt::Notice,
            on_drained: CompletionResult::Continue,
            on_deadline: CompletionResult::Continue,
            on_failed: CompletionResult::Continue,
            on_rebalance: machine::settings::OnNotice::Drain,
            on_standby: machine::settings::OnNotice::Drain,
            on_detachment: machine::settings::OnNotice::Drain,
            launch: None,
            protection: None,
        }
    }

    fn hook(name: &str, heartbeat_s: u64) -> Hook {
        Hook {
            name: name.to_owned(),
            terminating: true,
            heartbeat_timeout: secs(heartbeat_s),
            global_timeout: hook::global_timeout(secs(heartbeat_s)),
            default_result: CompletionResult::Abandon,
            notification_target: None,
        }
    }

    #[test]
    fn a_good_hook() {
        let launch = Hook { terminating: false, ..hook("warm-up", 30) };
        let part = judge(&settings(secs(3600)), "workers", &[launch, hook("drain", 300)]);
        assert_eq!(
            part,
            Part::ok("hook", "drain: heartbeat timeout 5m, 8h20m in all, default result ABANDON")
        );
    }

    #[test]
    fn a_drain_that_outlasts_the_hook() {
        let part = judge(&settings(secs(3600)), "workers", &[hook("drain", 30)]);
        assert_eq!(part.state, State::Failed);
        assert!(part.advice[0].contains("for longer than 50m "), "{part:?}");
        assert!(
            part.advice[0].ends_with(
                "to 36s: aws autoscaling put-lifecycle-hook --auto-scaling-group-name workers --lifecycle-hook-name drain \
                 --default-result ABANDON --heartbeat-timeout 36"
            ),
            "{part:?}"
        );
        assert_eq!(judge(&settings(secs(3000)), "workers", &[hook("drain", 30)]).state, State::Ok);
        let longest = judge(&settings(secs(172_801)), "workers", &[hook("drain", 7200)]);
        assert!(longest.advice[0].contains("for longer than 48h "), "{longest:?}");
    }

    #[test]
    fn no_hook_to_choose() {
        for (chosen, hooks, expected) in [
            (None, vec![], "has no terminating lifecycle hook"),
            (None, vec![hook("a", 300), hook("b", 300)], "(a, b) and none was chosen"),
            (Some("c"), vec![hook("a", 300)], "it has: a"),
        ] {
            let settings = Settings { hook: chosen.map(str::to_owned), ..settings(secs(60)) };
            let part = judge(&settings, "workers", &hooks);
            assert_eq!(part.state, State::Failed);
            assert!(part.advice[0].contains(expected), "{part:?}");
        }
        let none = judge(&settings(secs(60)), "workers", &[]);
        let command = "create a hook for autoscaling:EC2_INSTANCE_TERMINATING: aws autoscaling put-lifecycle-hook \
                       --auto-scaling-group-name workers --lifecycle-hook-name drain";
        assert!(none.advice[0].contains(command), "{none:?}");
        assert!(none.advice[0].ends_with("--heartbeat-timeout 300"), "{none:?}");
    }

    #[test]
    fn warnings() {
        let short = judge(&settings(secs(60)), "workers", &[hook("drain", 10)]);
        assert_eq!(short.state, State::Warning);
        let chosen = Settings { hook: Some("a".to_owned()), ..settings(secs(60)) };
        let two = judge(&chosen, "workers", &[hook("a", 300), hook("b", 300)]);
        assert!(two.state == State::Warning && two.advice[0].contains("ABANDON"), "{two:?}");
    }

    #[test]
    fn a_hook_that_cannot_be_read() {
        let named = Settings { hook: Some("a".to_owned()), ..settings(secs(60)) };
        assert_eq!(unread(&named, false, "denied").state, State::Warning);
        assert_eq!(unread(&settings(secs(60)), true, "denied").state, State::Warning);
        assert_eq!(unread(&settings(secs(60)), false, "denied").state, State::Failed);
    }
}
