//! What a daemon may do, and what it must do.

use std::time::Duration;

use machine::effect::{ActionName, AgentRequest, CompletionResult, Effect, EffectId};
use machine::event::{AgentState, TargetState};
use machine::journal::{Journal, Outcome};
use machine::notice::Reason;
use machine::report::{NoticeChange, Report};
use machine::{Output, Time};

use super::known::{Agent, Call, Completed, Kept, Phase};
use super::{Reference, due, to_come};

/// After so long without a word of IMDS the queue may be asked, drain or no drain.
const SILENCE: Duration = Duration::from_secs(60);

/// Others' messages are kept from them for so long at most.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// From one try of anything to the next.
const RETRY: Duration = Duration::from_secs(10);

/// The same, of what lacks a permission.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// What is done once in a while: heartbeats go by their timeout, of which this part may pass.
const BEAT: f64 = 0.68;

/// So long before EC2 takes an instance back its agent is to be done.
const SPOT_MARGIN: Duration = Duration::from_secs(10);

/// An agent hears of an earlier deadline within this time: what it has been asked before may run into its limit first.
const DEADLINE_TOLD: Duration = Duration::from_secs(45);

/// A heartbeat that failed is tried again within this part of its timeout.
const BEAT_RETRY_PART: u32 = 5;

impl Reference {
    /// What the machine has decided on what it was told, and when it wants to be woken. Says what is wrong with that.
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

    fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    /// What may be done.
    fn takes_in(&mut self, now: Time, effect: &Effect) {
        match effect {
            Effect::WriteJournal { id, journal } => self.writes_down(now, *id, journal),
            Effect::AskAgent { id, agent, request } => {
                let busy = self.calls.iter().any(|(_, call)| *call == Call::Agent(*agent));
                self.calls.push((*id, Call::Agent(*agent)));
                if busy {
                    self.complain("two requests to an agent are under way");
                }
                self.asks(now, *agent, request);
            }
            Effect::CancelRequest { id } => {
                let asked = self.calls.iter().any(|(of, call)| of == id && matches!(call, Call::Agent(_)));
                self.calls.retain(|(of, _)| of != id);
                if !asked {
                    self.complain("a request to the agent is canceled, and none is under way");
                }
            }
            Effect::Heartbeat { id, action, .. } => {
                self.names(action, "heartbeat");
                let busy = self.calls.iter().any(|(_, call)| matches!(call, Call::Heartbeat(_)));
                self.calls.push((*id, Call::Heartbeat(now)));
                if busy {
                    self.complain("two heartbeats are under way");
                }
                if self.kept.intention.is_some() && !self.kept.ended {
                    self.complain("a heartbeat, and the intention to complete is in the journal");
                }
            }
            Effect::Complete { id, action, result } => {
                self.names(action, "completion");
                let busy = self.calls.iter().any(|(_, call)| *call == Call::Complete);
                self.calls.push((*id, Call::Complete));
                if busy {
                    self.complain("two completions are under way");
                }
                self.completes(now, *result);
            }
            Effect::ReceiveMessages { id, .. } => {
                let busy = self.calls.iter().any(|(_, call)| *call == Call::Receive);
                self.calls.push((*id, Call::Receive));
                if busy {
                    self.complain("two receives are under way");
                }
                self.asks_the_queue(now);
            }
            Effect::DeleteMessage { receipt, .. } => self.deletes(receipt),
            Effect::DescribeHooks { id, .. } if self.drain != Phase::None => self.hooks_asked = Some(*id),
            Effect::DescribeInstance { .. } | Effect::DescribeHooks { .. } if self.drain == Phase::None => {
                self.complain("Auto Scaling is asked, and nothing is under way");
            }
            Effect::DescribeInstance { .. } => self.unseen = false,
            Effect::DescribeHooks { .. } | Effect::SetVisibility { .. } => {}
        }
    }

    fn writes_down(&mut self, now: Time, id: EffectId, journal: &Journal) {
        let next = Kept { denied: self.beats_denied, ..Kept::of(journal) };
        let before = self.writes.last().map_or(&self.kept, |(_, kept)| kept);
        let same_drain = before.started == next.started && before.told && !before.ended;
        let mut deadlines = before.deadlines.iter().zip(&next.deadlines);
        let later =
            deadlines.any(|(before, next)| before.zip(*next).is_some_and(|(before, next)| next > before));
        let stands = before.dues.iter().all(|due| next.dues.contains(due));
        let unchanged = stands && !before.denied && before.action == next.action;
        let told = next.waits_by_message().filter(|told| before.waits_by_message() != Some(*told));
        let older =
            told.is_some_and(|(since, sent)| !next.ended && since < sent && self.newest == Some(sent));
        if older {
            self.complain("the action waits since before the message that tells of it was sent");
        }
        if same_drain && later && unchanged && !self.clock_set {
            self.complain("the deadline in the journal moves later, and nothing that sets it has changed");
        }
        let told = journal.notices.rows().iter().filter(|row| row.reason == Reason::ScheduledMaintenance);
        for row in told {
            let newest = self.maintenance.get(&row.id).map(|(_, newest)| to_come(*newest, now));
            if newest.is_some_and(|newest| newest != to_come(due(row), now)) {
                self.complain(format!("the journal says of {} what an older message has told", row.id));
            }
        }
        if journal.instance_id != self.settings.instance_id {
            self.complain("the journal names another instance");
        }
        self.writes.push((id, next));
    }

    /// An agent is told what the journal says that it is told.
    fn asks(&mut self, now: Time, agent: usize, request: &AgentRequest) {
        if *request == AgentRequest::Status && self.agents[agent].state == Some(AgentState::Serving) {
            self.complain("an agent that serves is asked, and not told to drain");
        }
        let AgentRequest::Drain(order) = request else { return };
        self.agents[agent].ordered = Some(order.deadline);
        let deadline = self.kept.deadlines.get(agent).copied().flatten();
        // By a clock that is off it may be too late for that.
        let over = self.drain == Phase::Ended;
        if !over && self.spot.is_some_and(|at| at > now + SPOT_MARGIN && order.deadline + SPOT_MARGIN > at) {
            self.complain("the agent is given more time than EC2 gives");
        }
        if !self.kept.told {
            self.complain("the agent is told to drain, and the journal does not say so");
        } else if self.clock_set && deadline.is_some_and(|own| order.deadline <= own) {
            // Whether what AWS or EC2 had set was earlier is not known of that journal.
        } else if Some(order.deadline) != deadline && !self.kept.ended {
            self.complain(format!("the agent is told {}, and the journal says {deadline:?}", order.deadline));
        }
    }

    /// An action is named by the hook that is configured, and by a group that the instance may be in.
    fn names(&mut self, action: &ActionName, call: &str) {
        if self.settings.hook.as_ref().is_some_and(|hook| *hook != action.hook) {
            self.complain(format!("a {call} of {}, which is not our hook", action.hook));
        }
        if !self.groups.contains(&action.group) {
            self.complain(format!("a {call} in {}, and the instance was detached from it", action.group));
        }
    }

    /// The intention is in the journal; it is what is configured for how the drain has ended; and so it has ended.
    fn completes(&mut self, now: Time, result: CompletionResult) {
        let Some(intention) = self.kept.intention else {
            return self.complain("a completion, and the journal does not say so");
        };
        let configured = match intention.outcome {
            Outcome::Drained => self.settings.on_drained,
            Outcome::Failed => self.settings.on_failed,
            Outcome::Deadline | Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken => {
                self.settings.on_deadline
            }
        };
        if intention.result != result || configured != result {
            self.complain(format!("completed with {result} as {}", intention.outcome));
        }
        let stands = |agent: &Agent| self.standing == Some(intention.outcome) && !agent.heard;
        if self.agents.iter().all(stands) {
            return;
        }
        let mut agents = self.agents.iter().zip(&self.settings.agents);
        let done = match intention.outcome {
            Outcome::Drained => {
                agents.all(|(agent, _)| stands(agent) || agent.state == Some(AgentState::Drained))
            }
            Outcome::Failed => {
                agents.any(|(agent, settings)| stands(agent) || agent.has_failed(now, settings))
            }
            // After the clock was set, what AWS or EC2 had set is not known until the journal says so.
            Outcome::Deadline => {
                self.clock_set || self.kept.deadlines.iter().flatten().any(|deadline| *deadline <= now)
            }
            Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken => false,
        };
        if !done {
            self.complain(format!("completed as {}, and its agents: {:?}", intention.outcome, self.agents));
        }
    }

    /// The queue is shared: it is asked when it may tell what no other source does.
    fn asks_the_queue(&mut self, now: Time) {
        let silent = self.heard.as_ref().is_none_or(|(at, _)| now.since(*at) >= SILENCE);
        let searches = self.drain == Phase::UnderWay && (self.hook.is_none() || self.beat.is_none());
        if !self.settings.queue || !(silent || searches) {
            self.complain("the queue is asked, and has nothing to tell");
        }
    }

    /// A message goes when its action is over, and the journal says so.
    fn deletes(&mut self, receipt: &str) {
        let Some(token) = self.receipts.get(receipt) else {
            return self.complain("a message is deleted that is not ours");
        };
        let finished = token.as_ref().is_some_and(|token| self.kept.tokens.contains(token));
        let over = finished || self.spent.contains(receipt);
        if !over && !self.kept.ended && self.kept.started.is_some() {
            self.complain("a message is deleted, and the journal does not say that its action is over");
        }
    }

    fn reports(&mut self, now: Time, report: &Report) {
        match report {
            Report::DrainStarted { .. } => {
                self.drain = Phase::UnderWay;
                self.began = now;
                (self.hook, self.beat, self.completed) = (None, None, Completed::No);
                (self.standing, self.unseen) = (None, false);
            }
            // It stays, or what was told of it was not so.
            Report::Notice { change: NoticeChange::Withdrawn, .. } => self.unseen = false,
            Report::DrainEnded { outcome, result, .. } => {
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
                        "the drain ends as {outcome}, and was completed: {:?}",
                        self.completed
                    ));
                }
            }
            // The other group's hook is not known, or no action is kept alive.
            Report::GroupChanged { .. } | Report::HookImpossible { .. } => {
                (self.hook, self.beat) = (None, None);
            }
            Report::AgentsReturned => self.drain = Phase::None,
            // Nothing waits: whatever came until now told of what is over.
            Report::StaleMessage => self.spent.extend(self.receipts.keys().cloned()),
            _ => {}
        }
    }

    /// Others' messages are given back in the very turn in which they came.
    fn gives_back(&mut self, effects: &[Effect]) {
        let entries = effects.iter().flat_map(|effect| match effect {
            Effect::SetVisibility { entries, .. } => entries.as_slice(),
            _ => &[],
        });
        let mut back = entries.filter(|(_, hidden)| *hidden <= GIVEN_BACK).map(|(receipt, _)| receipt);
        let others = std::mem::take(&mut self.others);
        // In the order in which they came.
        if !others.iter().all(|receipt| back.any(|given| given == receipt)) {
            self.complain("messages of others are not given back");
        }
    }

    /// What must be under way, or come soon.
    fn must(&mut self, now: Time, wake: Option<Time>) {
        if matches!(self.heard, Some((_, TargetState::Terminated))) && self.drain == Phase::None {
            self.complain("IMDS says Terminated, and no drain begins");
        }
        let soon = |limit: Duration| wake.is_some_and(|wake| wake <= now + limit);
        if self.refused && self.writes.is_empty() && !soon(RETRY) {
            self.complain("what the disk has refused is not written again");
        }
        if self.unseen && self.drain == Phase::Ended && !soon(RETRY) {
            self.complain("an instance whose action was over is not looked at");
        }
        if self.drain != Phase::UnderWay || !self.writes.is_empty() {
            return;
        }
        for agent in 0..self.agents.len() {
            let asks = self.calls.iter().any(|(_, call)| *call == Call::Agent(agent));
            let rests =
                self.settings.agents[agent].blocks && self.agents[agent].state == Some(AgentState::Drained);
            if self.kept.told && !asks && !rests && !soon(RETRY) {
                self.complain("an agent is not asked");
            }
            self.tells_deadline(now, agent);
        }
        let completes = self.calls.iter().any(|(_, call)| *call == Call::Complete);
        let pause = if self.denied { DENIED_RETRY } else { RETRY };
        if self.kept.intention.is_some() && self.hook.is_some() && !completes && !soon(pause) {
            self.complain("the action is not completed");
        }
        let beats = self.calls.iter().any(|(_, call)| matches!(call, Call::Heartbeat(_)));
        // The first one counts from the beginning of Wait, whenever that became known.
        let waits = self.kept.alive_since().filter(|_| !self.beats_denied && !self.clock_set);
        let due =
            self.hook.as_ref().zip(self.beat.or(waits)).map(|((_, timeout), beat)| {
                (beat + timeout.mul_f64(BEAT)).max(now + *timeout / BEAT_RETRY_PART)
            });
        let late = due.is_some_and(|due| wake.is_none_or(|wake| wake > due));
        if late && self.kept.intention.is_none() && !beats {
            self.complain("no heartbeat is planned");
        }
    }
    /// An earlier deadline is told to every agent that works, and to one that blocks its request, too.
    fn tells_deadline(&mut self, now: Time, agent: usize) {
        let deadline = self.kept.deadlines.get(agent).copied().flatten();
        let Agent { state, ordered, outdated, .. } = &mut self.agents[agent];
        let works = *state != Some(AgentState::Drained);
        let earlier = deadline.zip(*ordered).is_some_and(|(deadline, ordered)| deadline < ordered);
        if !(works && earlier && self.kept.told) {
            *outdated = None;
        } else if now.since(*outdated.get_or_insert(now)) > DEADLINE_TOLD {
            *outdated = Some(now);
            self.complain(format!("agent {agent} is not told that its deadline is {deadline:?}"));
        }
    }
}
