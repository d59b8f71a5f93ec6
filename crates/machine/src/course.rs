//! Starts a drain at a new notice and advances it. Ends it when the last notice is withdrawn or its action is over.

use super::Machine;
use super::action::{GroupSource, Situation, Wait};
use super::after::Circumstances;
use super::agent::{AgentTrack, Want};
use super::drain::Drain;
use super::effect::CompletionResult;
use super::journal::{Ended, FINISHED_MAX, Outcome};
use super::notice::{Category, Notice, NoticeState, Reason, Source};
use super::report::Report;
use super::route::NO_TOKEN;
use super::targets;
use super::time::Time;
use super::watch::Seen;

/// Starts a drain at a new notice, and leaves it when the last notice is withdrawn.
pub(super) fn begin_or_leave(machine: &mut Machine, in_force: &[Reason]) {
    if machine.notices.reopen(&machine.settings, machine.turn.now) {
        machine.journal.touch();
    }
    let fresh = machine.notices.open(&machine.settings, machine.turn.now);
    let under_way = machine.drain.as_ref().map(Drain::is_under_way);
    match (under_way, in_force.first(), fresh) {
        (None, Some(reason), fresh) => begin(machine, fresh.unwrap_or(*reason)),
        (Some(false), Some(_), Some(fresh)) => begin(machine, fresh),
        (Some(_), None, _) => leave(machine),
        (None, None, _) | (Some(_), Some(_), _) => {}
    }
}

fn begin(machine: &mut Machine, reason: Reason) {
    machine.turn.forget_denials();
    let probed_since = machine.drain.as_ref().and_then(Drain::probed_since);
    let wait = Wait::before(machine.imds.stays_at, probed_since);
    machine.drain = Some(Drain::new(machine.turn.now, machine.group.clone(), wait, &mut machine.journal));
    machine.turn.report(Report::DrainStarted { reason });
}

/// Advances the drain: its deadline, when to tell the agents, the action and the end.
pub(super) fn drive(machine: &mut Machine, in_force: &[Reason]) {
    let Machine { settings, notices, agents, targets, drain, journal, turn, .. } = machine;
    let Some(drain) = drain else { return };
    if !drain.is_under_way() {
        // After the end, nothing moves the deadline any more.
        drain.tell_next(agents, drain.told_bound(), turn, journal);
        if drain.is_recorded(journal)
            && let Some(watch) = &mut drain.watch
        {
            watch.decide(turn, &drain.action.record());
        }
        return;
    }
    let bound = drain.bound(notices, turn.now);
    drain.announce(bound, agents, turn, journal);
    if drain.is_time(settings, in_force) {
        drain.tell(turn.now, journal);
        agents.iter_mut().for_each(|agent| agent.wait(turn));
    }
    drain.tell_next(agents, bound, turn, journal);
    if drain.has_time_to_leave() {
        targets::begin(targets, turn, journal);
    }
    let outcome = drain.outcome(agents, bound, turn);
    let reason = in_force.first().copied().unwrap_or(Reason::AutoscalingTermination);
    let stands = drain.stands(agents, bound, turn);
    // Requests that a load balancer still sends must not be cut off, whatever the agents say.
    let held = targets::hold(targets, turn, journal, bound) && drain.has_time_to_leave();
    let now =
        Circumstances { steps: &settings.after, outcome: outcome.filter(|_| !held), stands, reason, bound };
    let done = drain.after.decide(turn, journal, &now);
    let reason = Some(reason).filter(|_| drain.waits_for_agents(outcome));
    agents.iter_mut().for_each(|agent| agent.force(turn, journal, reason, bound));
    let expected = drain.expects_action(notices);
    let finish = drain.finish().map(|finish| finish.result);
    drain.action.decide(turn, &mut Situation { settings, journal, expected, done, finish });
    if let Some(outcome) = done.filter(|_| !expected || !drain.action.is_possible()) {
        end(machine, outcome, None);
    }
}

/// Tells each agent to drain, to serve again, or nothing.
pub(super) fn direct_agents(machine: &mut Machine, reason: Option<Reason>) {
    let Machine { agents, drain, journal, returned, turn, .. } = machine;
    let Some(drain) = drain else {
        if journal.is_released(*returned) {
            agents.iter_mut().for_each(|agent| agent.decide(turn, journal, Want::Return));
        }
        return;
    };
    if drain.told().is_none() {
        agents.iter_mut().for_each(AgentTrack::not_yet);
    }
    let recorded = drain.is_recorded(journal);
    for agent in agents {
        let order = drain.order(agent, reason).filter(|_| recorded);
        agent.decide(turn, journal, order.map_or(Want::Nothing, Want::Drain));
    }
}

/// Withdraws the target state's notice once IMDS has said for long enough that the instance stays. Not while an action is in
/// Wait: then the action counts.
pub(super) fn withdraw_target(machine: &mut Machine) {
    let waits = machine.drain.as_ref().is_some_and(Drain::awaits_completion);
    if waits || !machine.imds.is_back(&machine.notices) {
        return;
    }
    // The agents drain, or have drained, for a reboot. IMDS says nothing of it, so only Auto Scaling or the reboot itself ends
    // this notice, whatever else drains the instance meanwhile.
    let action = machine.notices.action();
    let reboots = action.is_some_and(Notice::ends_with_a_reboot);
    // The current drain's action keeps its notice until Auto Scaling also says that the instance is in service. An action
    // that an earlier drain dealt with does not.
    let open = action.is_some_and(|action| action.state != NoticeState::Settled);
    let since = machine.imds.stays_since();
    let stands = machine.drain.as_ref().is_some_and(|drain| {
        if drain.is_under_way() {
            (open || reboots) && since.is_none_or(|at| !drain.action.was_in_service(at))
        } else {
            reboots && drain.is_watched()
        }
    });
    let replaces = machine.imds.replaces_target(&machine.notices);
    if !stands || replaces {
        machine.imds.settle();
    }
    if replaces {
        machine.notices.list(&mut machine.turn, Category::TargetState, machine.imds.listed());
        machine.journal.touch();
    }
    if machine.drain.is_some() && !stands {
        machine.notices.withdraw_action(&mut machine.turn);
    }
}

/// Acts on what the watch saw of an instance whose action is over.
pub(super) fn on_seen(machine: &mut Machine, seen: Option<Seen>) {
    match seen {
        None => {}
        Some(Seen::InService) => {
            machine.notices.list(&mut machine.turn, Category::TargetState, Vec::new());
            machine.notices.withdraw_action(&mut machine.turn);
        }
        Some(Seen::OtherGroup) => begin_in_other_group(machine),
        Some(Seen::NewAction { since, beat }) => begin_released(machine, since, beat),
    }
}

/// A heartbeat has just succeeded after the action was over: a retained instance was released, so that Auto Scaling runs a new
/// action, or the action only seemed to be over.
fn begin_released(machine: &mut Machine, since: Time, beat: Time) {
    let known = machine.drain.take().map(|drain| drain.action.record()).unwrap_or_default();
    let reboots = machine.notices.action().is_some_and(Notice::ends_with_a_reboot);
    let reason = if reboots { Reason::RootVolumeReplacement } else { Reason::AutoscalingTermination };
    tell_of_action(machine, reason);
    machine.turn.forget_denials();
    machine.drain = Some(Drain::released(known, since, beat, &mut machine.turn, &mut machine.journal));
    machine.turn.report(Report::DrainStarted { reason });
}

/// Auto Scaling says that another group is taking the instance away. The ended drain was for an action of the first group,
/// or of a group that only a message named.
fn begin_in_other_group(machine: &mut Machine) {
    let reason = Reason::AutoscalingTermination;
    tell_of_action(machine, reason);
    begin(machine, reason);
    if let (Some(drain), Some(group)) = (&mut machine.drain, &machine.group) {
        drain.action.learn_group(&mut machine.turn, group, GroupSource::AutoScaling);
    }
}

/// Adds the notice of an action that Auto Scaling itself revealed.
fn tell_of_action(machine: &mut Machine, reason: Reason) {
    let told = Notice::new(Source::AutoScaling, reason, NO_TOKEN, machine.turn.now);
    machine.notices.tell_action(&mut machine.turn, told);
}

/// No notice is in force any longer, so the instance stays. Returns the agents to service, once no completion can take effect.
fn leave(machine: &mut Machine) {
    let Some(drain) = &machine.drain else { return };
    if drain.is_under_way() {
        if !drain.action.can_withdraw() {
            return;
        }
        end(machine, Outcome::Withdrawn, None);
    }
    if machine.agents.iter().any(AgentTrack::may_be_draining) {
        machine.turn.report(Report::AgentsReturned);
    }
    for agent in &mut machine.agents {
        agent.release(&mut machine.turn);
    }
    machine.targets.iter_mut().for_each(|target| target.release(&machine.turn));
    machine.drain = None;
    machine.returned = machine.journal.touch();
}

/// Ends the drain, with or without a completed action.
pub(super) fn end(machine: &mut Machine, outcome: Outcome, result: Option<CompletionResult>) {
    let now = machine.turn.now;
    // Readings from before the end say nothing about the time after it.
    machine.imds.settle();
    let reasons = machine.notices.in_force(&machine.settings, &mut machine.turn);
    let Some(drain) = &mut machine.drain else { return };
    let by = drain.finish().map(|finish| finish.by.clone());
    drain.after.give_up(&mut machine.turn, &machine.settings.after, outcome);
    machine.targets.iter_mut().for_each(|target| target.end(&mut machine.turn, outcome));
    let revision = drain.end(Ended { at: now, outcome, result }, &machine.notices, &mut machine.journal);
    for receipt in &drain.receipts {
        machine.queue.delete(receipt.clone(), revision);
    }
    let token = drain.message.as_ref().and_then(|message| message.token.clone());
    machine.agents.iter_mut().for_each(|agent| agent.tell_last_progress(&mut machine.turn));
    machine.turn.report(Report::DrainEnded {
        outcome,
        reason: reasons.first().copied(),
        result,
        by,
        took: now.since(drain.started),
        heartbeats: drain.action.heartbeats(),
    });
    machine.notices.settle(&machine.settings, now);
    remember(&mut machine.finished, token);
    machine.last_drain = machine.ended_drain();
}

/// Adds a token, and forgets the oldest one if there are too many.
pub(super) fn remember(tokens: &mut Vec<String>, token: Option<String>) {
    let Some(token) = token.filter(|token| !tokens.contains(token)) else { return };
    if tokens.len() == FINISHED_MAX {
        tokens.remove(0);
    }
    tokens.push(token);
}

/// The message was about an action that was already over: undoes what followed from it.
pub(super) fn forget_stale_action(machine: &mut Machine) {
    let Some(drain) = &mut machine.drain else { return };
    machine.turn.report(Report::StaleMessage);
    let revision = machine.journal.touch();
    let (receipts, token) = drain.forget_messages();
    for receipt in receipts {
        machine.queue.delete(receipt, revision);
    }
    drain.action.renew(machine.turn.now, revision);
    machine.notices.withdraw_action(&mut machine.turn);
    remember(&mut machine.finished, token);
}
