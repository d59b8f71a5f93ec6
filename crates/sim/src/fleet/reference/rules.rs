//! What a daemon may do and must do.

use std::time::Duration;

use machine::effect::{ActionName, AgentRequest, CompletionResult, Effect, EffectId};
use machine::event::AgentState;
use machine::journal::{Journal, Outcome};
use machine::report::{NoticeChange, Report};
use machine::settings::Protocol;
use machine::{Output, Time};

use super::Reference;
use super::known::{Agent, Call, Completed, Kept, Phase};

/// The longest time between tries of anything.
const RETRY: Duration = Duration::from_secs(10);

/// The same for calls that lack a permission.
pub(super) const DENIED_RETRY: Duration = Duration::from_secs(60);

/// A heartbeat must be sent within this part of its timeout.
const BEAT: f64 = 0.68;

/// The agent must be done this long before EC2 interrupts the instance.
const SPOT_MARGIN: Duration = Duration::from_secs(10);

/// The agent must hear of an earlier deadline within this time. An earlier request may have to time out first.
const DEADLINE_TOLD: Duration = Duration::from_secs(45);

/// A failed heartbeat must be tried again within this part of its timeout.
const BEAT_RETRY_PART: u32 = 5;

impl Reference {
    /// Checks the machine's output and its next wake-up. Returns what is wrong with them.
    pub fn decides(&mut self, now: Time, output: &Output, wake: Option<Time>) -> Vec<String> {
        for report in &output.reports {
            self.reports(now, report);
        }
        for effect in &output.effects {
            self.takes_in(now, effect);
        }
        self.gives_back(&output.effects);
        self.must(now, wake);
        std::mem::take(&mut self.complaints)
    }

    pub(super) fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    /// Checks what may be done.
    fn takes_in(&mut self, now: Time, effect: &Effect) {
        let taken = self.takes_in_launch(now, effect) || self.takes_in_protection(now, effect);
        if taken || self.calls_elb(effect) {
            return;
        }
        match effect {
            Effect::WriteJournal { id, journal } => self.writes_down(now, *id, journal),
            Effect::AskAgent { id, agent, request } => {
                let busy = self.calls.iter().any(|(_, call)| *call == Call::Agent(*agent));
                self.calls.push((*id, Call::Agent(*agent)));
                if busy {
                    self.complain("two requests to one agent were under way");
                }
                self.asks(now, *agent, request);
            }
            Effect::CancelRequest { id } => {
                let asked = self.calls.iter().find_map(|(of, call)| match call {
                    Call::Agent(agent) if of == id => Some(*agent),
                    _ => None,
                });
                self.calls.retain(|(of, _)| of != id);
                match asked {
                    Some(agent) => self.cancels(now, agent),
                    None => self.complain("canceled a request to an agent, but none was under way"),
                }
            }
            Effect::RunStep { id, step, deadline, .. } => self.runs_step(now, (*id, *step), *deadline),
            Effect::ForceAgent { id, agent, order } => self.forces(now, (*id, *agent), order.deadline),
            Effect::StopStep { id } => self.stops_step(*id),
            Effect::Heartbeat { id, action, .. } => {
                self.names(action, "heartbeat");
                let busy = self.calls.iter().any(|(_, call)| matches!(call, Call::Heartbeat(_)));
                self.calls.push((*id, Call::Heartbeat(now)));
                if busy {
                    self.complain("two heartbeats were under way");
                }
                if self.kept.intention.is_some() && !self.kept.ended {
                    self.complain("sent a heartbeat after its intention to complete was in the journal");
                }
            }
            Effect::Complete { id, action, result } => {
                self.names(action, "completion");
                let busy = self.calls.iter().any(|(_, call)| *call == Call::Complete);
                self.calls.push((*id, Call::Complete));
                if busy {
                    self.complain("two completions were under way");
                }
                self.completes(now, *result);
            }
            Effect::ReceiveMessages { id, peek, .. } => {
                let busy = self.receives_messages();
                self.calls.push((*id, Call::Receive { peek: *peek }));
                if busy {
                    self.complain("two receives were under way");
                }
                self.asks_the_queue(now);
            }
            Effect::DeleteMessage { receipt, .. } => self.deletes(receipt),
            Effect::DescribeHooks { id, .. } if self.drain != Phase::None => self.hooks_asked = Some(*id),
            Effect::DescribeInstance { id } | Effect::DescribeHooks { id, .. }
                if self.drain == Phase::None =>
            {
                self.describes(effect, *id);
            }
            Effect::DescribeInstance { id } => {
                self.unseen = false;
                self.describes_to_protect(effect, *id);
            }
            // `launch`, `protection` and `targets` have taken the first six.
            Effect::AskReady { .. }
            | Effect::AskBusy { .. }
            | Effect::Protect { .. }
            | Effect::DescribeTarget { .. }
            | Effect::DeregisterTarget { .. }
            | Effect::RegisterTarget { .. }
            | Effect::DescribeHooks { .. }
            | Effect::SetVisibility { .. } => {}
        }
    }

    fn writes_down(&mut self, now: Time, id: EffectId, journal: &Journal) {
        let next = Kept { denied: self.beats_denied, ..Kept::of(journal) };
        let before = self.writes.last().map_or(&self.kept, |(_, kept)| kept);
        let same_drain = before.started == next.started && before.told && !before.ended;
        let mut deadlines = before.deadlines.iter().zip(&next.deadlines);
        let later =
            deadlines.any(|(before, next)| before.zip(*next).is_some_and(|(before, next)| next > before));
        let moved = before.deadlines != next.deadlines;
        let stands = before.dues.iter().all(|due| next.dues.contains(due));
        let unchanged = stands && !before.denied && before.action == next.action;
        let told = next.waits_by_message().filter(|told| before.waits_by_message() != Some(*told));
        let older =
            told.is_some_and(|(since, sent)| !next.ended && since < sent && self.newest == Some(sent));
        // A message from the future counts as one of the moment in which it first came.
        let from_the_future = told.is_some_and(|(_, sent)| self.from_the_future == Some(sent));
        if older && !from_the_future {
            self.complain("wrote that Wait began before the message about it was sent");
        }
        self.writes_targets(now, &next);
        self.unsettled |= moved;
        if same_drain && later && unchanged && !self.clock_set {
            self.complain("moved the deadline in the journal later, but nothing that sets it had changed");
        }
        self.lists(now, journal);
        self.keeps_processes(journal);
        if journal.instance_id != self.settings.instance_id {
            self.complain("wrote a journal that names another instance");
        }
        self.writes.push((id, next));
    }

    /// The agent must be told what the journal says.
    fn asks(&mut self, now: Time, agent: usize, request: &AgentRequest) {
        if *request == AgentRequest::Status && self.agents[agent].state == Some(AgentState::Serving) {
            self.complain("asked a serving agent for its status, but did not tell it to drain");
        }
        self.agents[agent].overtaken = false;
        (self.agents[agent].asked_at, self.agents[agent].told) =
            (now, matches!(request, AgentRequest::Drain(_)));
        let order = match request {
            AgentRequest::Drain(order) => order,
            AgentRequest::Tell(process) => return self.tells(agent, *process),
            AgentRequest::Return => return self.returns(agent),
            AgentRequest::Watch(process) => return self.watches(agent, *process),
            AgentRequest::Status => return,
        };
        self.may_drain_for(order.reason);
        self.agents[agent].ordered = Some(order.deadline);
        let deadline = self.kept.deadlines.get(agent).copied().flatten();
        // With a wrong clock it may be too late for that.
        let over = self.drain == Phase::Ended;
        let ec2 = [self.spot, self.block_ends(now)].into_iter().flatten();
        let ends = ec2.filter(|at| *at > now + SPOT_MARGIN).min();
        if !over && ends.is_some_and(|at| order.deadline + SPOT_MARGIN > at) {
            self.complain("gave an agent more time than EC2 gives");
        }
        if !self.kept.told || !self.was_told(agent) {
            self.complain("told an agent to drain before the journal said so");
        } else if self.clock_set && deadline.is_some_and(|own| order.deadline <= own) {
            // Such a journal does not say whether AWS or EC2 had set an earlier deadline.
        } else if Some(order.deadline) != deadline && !self.kept.ended {
            self.complain(format!(
                "told an agent the deadline {}, but the journal had {deadline:?}",
                order.deadline
            ));
        }
    }

    /// An action must be named by the configured hook and by a group that the instance may be in.
    fn names(&mut self, action: &ActionName, call: &str) {
        if self.settings.hook.as_ref().is_some_and(|hook| *hook != action.hook) {
            self.complain(format!("sent a {call} for {}, which is not our hook", action.hook));
        }
        if !self.groups.contains(&action.group) {
            self.complain(format!(
                "sent a {call} for the group {}, which the instance is not known to be in",
                action.group
            ));
        }
    }

    /// The intention must be in the journal, its result must be the configured one, and the drain must really have ended
    /// that way.
    fn completes(&mut self, now: Time, result: CompletionResult) {
        let Some(intention) = self.kept.intention else {
            return self.complain("sent a completion before the journal had the intention");
        };
        self.completes_after_steps(intention.outcome);
        let configured = match intention.outcome {
            Outcome::Drained => self.settings.on_drained,
            Outcome::Failed => self.settings.on_failed,
            Outcome::Deadline | Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken => {
                self.settings.on_deadline
            }
        };
        if intention.result != result || configured != result {
            self.complain(format!(
                "completed with {result}, which is not the result for {}",
                intention.outcome
            ));
        }
        let stands = |agent: &Agent| self.standing == Some(intention.outcome) && !agent.heard;
        if self.agents.iter().all(stands) {
            return;
        }
        let mut agents = self.agents.iter().zip(&self.settings.agents);
        let done = match intention.outcome {
            Outcome::Drained => agents.all(|(agent, _)| {
                !agent.forced && (stands(agent) || agent.state == Some(AgentState::Drained))
            }),
            Outcome::Failed => agents
                .any(|(agent, settings)| stands(agent) || (!agent.forced && agent.has_failed(now, settings))),
            // After the clock was set, deadlines from AWS or EC2 are unknown until the journal has them.
            Outcome::Deadline => {
                self.clock_set
                    || agents.any(|(agent, _)| agent.forced)
                    || self.kept.deadlines.iter().flatten().any(|deadline| *deadline <= now)
            }
            Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken => false,
        };
        if !done {
            self.complain(format!(
                "completed as {}, but its agents are {:?}",
                intention.outcome, self.agents
            ));
        }
    }

    fn reports(&mut self, now: Time, report: &Report) {
        match report {
            Report::Launch(news) => self.hears_launch_news(now, news),
            Report::DrainStarted { reason } => {
                self.launch_paused(now);
                self.protection_hears_of(*reason);
                self.may_drain_for(*reason);
                self.drain = Phase::UnderWay;
                self.began = now;
                (self.hook, self.beat, self.completed) = (None, None, Completed::No);
                (self.standing, self.unseen) = (None, false);
                self.stepped = 0;
            }
            Report::AfterStep { number, news, .. } => self.hears_of_step(*number, news),
            Report::AgentsTold { order, .. } => self.tells_order(now, *order),
            // The instance stays, or the notice was wrong.
            Report::Notice { change, reason, .. } => {
                if *change == NoticeChange::Appeared && reason.has_action() {
                    self.protection_hears_of(*reason);
                }
                self.unseen &= *change != NoticeChange::Withdrawn;
                self.moves(now, *change, *reason);
            }
            Report::DrainEnded { outcome, result, .. } => {
                self.may_withdraw(*outcome);
                self.drain = Phase::Ended;
                self.ending = self.receipts.keys().cloned().collect();
                self.ending_began = self.began;
                let wrong = match (outcome, result) {
                    (Outcome::Overtaken, _) => self.completed == Completed::Yes,
                    (_, Some(_)) => self.completed == Completed::No,
                    (_, None) => false,
                };
                if wrong {
                    self.complain(format!(
                        "ended the drain as {outcome}, but whether the action was completed: {:?}",
                        self.completed
                    ));
                }
            }
            // The other group's hook is not known yet, or no action can be kept alive.
            Report::GroupChanged { .. } | Report::HookImpossible { .. } => {
                (self.hook, self.beat) = (None, None);
            }
            Report::AgentsReturned => {
                self.launch_paused(now);
                self.protection_starts_anew();
                self.drain = Phase::None;
                self.agents.iter_mut().for_each(|agent| agent.forced = false);
            }
            // No action waits, so all messages so far were about an action that is over.
            Report::StaleMessage => self.spent.extend(self.receipts.keys().cloned()),
            _ => {}
        }
    }

    /// Checks what must be under way or come soon.
    fn must(&mut self, now: Time, wake: Option<Time>) {
        self.must_drain();
        let soon = |limit: Duration| wake.is_some_and(|wake| wake <= now + limit);
        if self.refused && self.writes.is_empty() && !soon(RETRY) {
            self.complain("did not plan to write again what the disk had refused");
        }
        let idle = self.writes.is_empty();
        if self.unseen && self.drain == Phase::Ended && idle && !soon(RETRY) {
            self.complain("did not plan to ask Auto Scaling whether a new action is open");
        }
        self.must_launch(now, wake);
        self.must_listen(now, wake);
        self.must_protect(now);
        self.must_leave(now, wake);
        self.must_stop_steps(now);
        self.must_force(now);
        self.may_tell(now);
        self.must_tell_next(now);
        self.must_tell();
        if self.drain != Phase::UnderWay || !self.writes.is_empty() {
            return;
        }
        for agent in 0..self.agents.len() {
            let asks = self.calls.iter().any(|(_, call)| *call == Call::Agent(agent));
            let protocol = self.settings.agents[agent].protocol;
            let blocks = self.settings.agents[agent].answers_when_drained();
            let drained = blocks && self.agents[agent].state == Some(AgentState::Drained);
            let deadline = self.kept.deadlines.get(agent).copied().flatten();
            // After the clock was set, deadlines from AWS or EC2 are unknown until the journal has them.
            let over = self.clock_set || deadline.is_some_and(|deadline| deadline <= now);
            let rests = drained || (protocol == Protocol::Running && over) || !self.was_told(agent);
            if self.kept.told && !asks && !rests && !soon(RETRY) {
                self.complain("did not plan to ask an agent");
            }
            self.tells_deadline(now, agent);
        }
        let completes = self.completes_now();
        let pause = if self.denied { DENIED_RETRY } else { RETRY };
        if self.kept.intention.is_some() && self.hook.is_some() && !completes && !soon(pause) {
            self.complain("did not plan to complete the action");
        }
        let beats = self.beats_now();
        // The first one counts from the start of Wait, even if the daemon learned of that later.
        let waits = self.kept.alive_since().filter(|_| !self.beats_denied && !self.clock_set);
        let due =
            self.hook.as_ref().zip(self.beat.or(waits)).map(|((_, timeout), beat)| {
                (beat + timeout.mul_f64(BEAT)).max(now + *timeout / BEAT_RETRY_PART)
            });
        let late = due.is_some_and(|due| wake.is_none_or(|wake| wake > due));
        if late && self.kept.intention.is_none() && !beats {
            self.complain("did not plan a heartbeat");
        }
    }

    /// An earlier deadline must be told to every agent that still works, blocking agents included. An agent's process goes on
    /// until the latest of its deadlines so far, and no longer.
    fn tells_deadline(&mut self, now: Time, agent: usize) {
        let deadline = self.kept.deadlines.get(agent).copied().flatten();
        let runs = self.settings.agents[agent].protocol == Protocol::Running
            && self.agents[agent].told
            && self.calls.iter().any(|(_, call)| *call == Call::Agent(agent));
        if runs {
            // A process that only tells the agent does not go on for long. After the clock was set, deadlines from AWS or EC2
            // are unknown until the journal has them.
            if self.settings.agents[agent].answers_when_drained() && !self.clock_set {
                self.agents[agent].ordered = self.agents[agent].ordered.max(deadline);
            }
            if deadline.is_some_and(|deadline| now > deadline + DEADLINE_TOLD) {
                self.complain(format!("did not stop the process of agent {agent} at its deadline"));
            }
        }
        let told = self.was_told(agent);
        let Agent { state, ordered, outdated, .. } = &mut self.agents[agent];
        let works = *state != Some(AgentState::Drained);
        let earlier = told && deadline.zip(*ordered).is_some_and(|(deadline, ordered)| deadline < ordered);
        if !(works && earlier && self.kept.told) {
            *outdated = None;
        } else if now.since(*outdated.get_or_insert(now)) > DEADLINE_TOLD {
            *outdated = Some(now);
            self.complain(format!("did not tell agent {agent} its deadline, {deadline:?}"));
        }
    }
}
