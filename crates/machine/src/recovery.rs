//! Continues from the journal of the last run of the daemon.

use super::agent::AgentTrack;
use super::drain::{Drain, LastRun};
use super::journal::{Journal, Outcome, Revision};
use super::launch::LaunchStage;
use super::report::Report;
use super::time::Correction;
use super::{Machine, course};

pub(super) fn recover(machine: &mut Machine, journal: Option<Box<Journal>>) {
    let Some(mut journal) = journal else {
        return machine.begin_launch(LaunchStage::None);
    };
    let boots = journal.boot_id.as_ref().zip(machine.settings.boot_id.as_ref());
    let rebooted = boots.is_some_and(|(before, now)| before != now);
    if boots.is_some()
        && !rebooted
        && let Some((before, after)) = journal.booted_at.zip(machine.settings.booted_at)
    {
        journal.correct(Correction::between(before, after));
    }
    let Journal { served, pooled, agents, targets, notices, drain, launch, protection, finished, .. } =
        *journal;
    machine.protection.recover(machine.turn.now, &machine.settings, protection);
    machine.launch.pooled = pooled && !rebooted;
    machine.begin_launch(if rebooted { LaunchStage::None } else { launch });
    let now = machine.turn.now;
    machine.served = served;
    machine.notices = notices.recovered(now);
    machine.finished = finished;
    for record in agents {
        if let Some(agent) = machine.agents.iter_mut().find(|agent| agent.name() == record.name) {
            agent.resume(&record, now, rebooted);
        }
    }
    machine.targets.iter_mut().for_each(|target| target.resume(&targets, now));
    let Some(record) = drain else { return };
    // Its time starts anew after the drain, even if that is over before the machine decides anything.
    machine.launch.pause();
    let forced = machine.agents.iter().any(AgentTrack::is_forced);
    let drain = Drain::recover(record, &machine.notices, now, LastRun { rebooted, forced });
    if drain.told().is_some() {
        // An agent that was not told, or is new in the configuration, gets its full time once its turn comes.
        let untold = machine.agents.iter_mut().filter(|agent| agent.deadline(None).is_none());
        untold.for_each(|agent| agent.wait(&mut machine.turn));
    }
    let (started, ended, outdated) = (drain.started, drain.ended(), drain.is_outdated(now));
    for receipt in drain.receipts.iter().cloned() {
        match ended {
            Some(_) => machine.queue.delete(receipt, Revision::default()),
            None => machine.queue.hide(receipt, Revision::default()),
        }
    }
    machine.drain = Some(drain);
    machine.reason = machine.notices.in_force(&machine.settings, &mut machine.turn).first().copied();
    machine.last_drain = machine.ended_drain();
    if ended.is_none() {
        machine.turn.report(Report::DrainRecovered { started });
    }
    if outdated {
        course::end(machine, Outcome::Overtaken, None);
    }
}
