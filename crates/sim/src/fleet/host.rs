//! One instance of a fleet: its daemon's machine, its disk, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use crate::schedule::Due;
use machine::effect::EffectId;
use machine::event::{ImdsReading, SpotNotice, TargetState};
use machine::journal::Journal;
use machine::notice::Category;
use machine::settings::Settings;
use machine::{Event, Machine, Time};

use super::agents::{Held, Other};
use super::calls::{Credentials, Trouble};
use super::ec2::Maintenance;
use super::poll::POLL;
use super::reference::Reference;

/// An instance.
#[derive(Debug)]
pub(super) struct Host {
    pub id: String,
    settings: Arc<Settings>,
    /// `None` while the daemon is down.
    pub machine: Option<Machine>,
    /// What this life of the daemon may and must do.
    pub reference: Reference,
    pub disk: Option<Box<Journal>>,
    /// What the machine wrote last, where the disk has refused it and says what was so before.
    pub unwritten: Option<Box<Journal>>,
    /// By so many milliseconds its clock is ahead.
    pub clock_ms: i64,
    /// Counts the boots.
    boot: u32,
    /// When it booted, by true time.
    booted: Time,
    /// Counts the daemon's lives: what an earlier one waits for comes to nothing.
    pub life: u32,
    /// Counts what was planned for IMDS: only the last plan holds.
    pub poll: u32,
    /// The wake-up that is planned.
    pub wake: Option<Due>,
    /// It is in service and idle: since then, polls that would hear so once more are skipped, until something happens.
    pub rests: Option<Time>,
    /// The last poll that its daemon was told of changed nothing, and its machine has handled no other event since.
    pub steady: bool,
    /// The last poll since then, where it said the same once more: the machine handles it right before its next event.
    pub skipped: Option<Time>,
    /// Where in each second it polls.
    pub phase: Duration,
    /// The last target state that the daemon has heard in this life.
    pub heard: Option<TargetState>,
    /// IMDS has denied that there is a target state, and said nothing since: to a daemon that had heard none, that is news.
    pub denied: bool,
    /// Requests to agents that this life of the daemon has given up: their answers are dropped.
    pub canceled: Vec<EffectId>,
    /// Requests that agents hold.
    pub held: Vec<Held>,
    /// Its agents beside the world's.
    pub others: Vec<Other>,
    /// Its disk takes nothing any more.
    pub disk_refuses: bool,
    /// What is wrong with its calls until it is gone.
    pub trouble: Trouble,
    pub credentials: Credentials,
    /// What EC2 has scheduled for it.
    pub maintenance: Option<Maintenance>,
    /// A deadline that maintenance set before it was moved or canceled, and until when its daemon may go by it.
    pub before_move: Option<(Time, Time)>,
    /// Counts what EC2 has scheduled.
    pub maintenances: u32,
    /// Its daemon was told of maintenance in this life, be it that there is none.
    pub told_of_maintenance: bool,
    /// Until when a message about maintenance may be believed, whatever came of it.
    pub believes_until: Option<Time>,
    /// EC2 takes its capacity back then, as a message has said.
    pub capacity: Option<Time>,
    /// Until when a message may be believed that tells of an interruption which does not come.
    pub false_alarm: Option<Time>,
    /// When Auto Scaling decided to take it away.
    pub asked_for: Option<Time>,
    /// Its last action: when it began, at the earliest by what its daemon may know, and its global timeout.
    pub action: Option<(Time, Duration)>,
    /// The shortest global timeout of its hook that its daemon has been told.
    pub hook_told: Option<Duration>,
    /// It has begun a life with a journal that was not its last one, or with none.
    pub has_forgotten: bool,
    /// The message of its first action has come again. A daemon that has lost its journal dates any action by it.
    pub has_old_message: bool,
    /// It has forgotten, and no drain has begun since.
    pub is_astray: bool,
    /// Tokens of its actions, the last one included.
    pub tokens: Vec<String>,
    /// When its agents were told to drain in the drain under way, by true time.
    pub told_at: Option<Time>,
    /// Its clock has jumped, and has not been set right.
    pub clock_is_off: bool,
    /// Its journal is gone, and it has not heard since that it is in service: what the warm pool does is no notice.
    pub forgetful: bool,
    /// IMDS answers nothing before this.
    pub imds_silent_until: Time,
    /// The agent answers nothing before this.
    pub agent_hangs_until: Time,
    /// Nothing moves on the instance before this.
    pub frozen_until: Time,
    /// EC2 is about to take it back.
    pub spot: Option<SpotNotice>,
    /// It was retained, and let go.
    pub released: bool,
    /// The instance is gone.
    pub gone: bool,
}

impl Host {
    pub fn new(settings: Settings, phase: Duration) -> Self {
        let never = Time::from_unix_ms(0);
        let settings = Arc::new(settings);
        Host {
            reference: Reference::new(settings.clone()),
            id: settings.instance_id.clone(),
            settings,
            machine: None,
            disk: None,
            unwritten: None,
            clock_ms: 0,
            boot: 0,
            booted: super::plan::START,
            life: 0,
            poll: 0,
            wake: None,
            rests: None,
            steady: false,
            skipped: None,
            phase,
            heard: None,
            denied: false,
            canceled: Vec::new(),
            held: Vec::new(),
            others: Vec::new(),
            disk_refuses: false,
            trouble: Trouble::None,
            credentials: Credentials::Good,
            maintenance: None,
            before_move: None,
            maintenances: 0,
            told_of_maintenance: false,
            believes_until: None,
            capacity: None,
            false_alarm: None,
            asked_for: None,
            action: None,
            hook_told: None,
            has_forgotten: false,
            has_old_message: false,
            is_astray: false,
            tokens: Vec::new(),
            told_at: None,
            clock_is_off: false,
            forgetful: false,
            imds_silent_until: never,
            agent_hangs_until: never,
            frozen_until: never,
            spot: None,
            released: false,
            gone: false,
        }
    }

    /// What its clock shows.
    pub fn clock(&self, now: Time) -> Time {
        Time::from_unix_ms(now.unix_ms().saturating_add_signed(self.clock_ms))
    }

    /// When its clock will show that.
    pub fn when(&self, shown: Time) -> Time {
        Time::from_unix_ms(shown.unix_ms().saturating_add_signed(-self.clock_ms))
    }

    /// The instance boots again.
    pub fn boot(&mut self, now: Time) {
        self.boot += 1;
        self.booted = now;
        Arc::make_mut(&mut self.settings).boot_id = Some(format!("boot {}", self.boot));
    }

    /// The daemon starts; its first event is still to come.
    pub fn start(&mut self, now: Time) {
        let booted_at = Some(self.clock(self.booted));
        if self.settings.booted_at != booted_at {
            Arc::make_mut(&mut self.settings).booted_at = booted_at;
        }
        self.machine = Some(Machine::new(self.settings.clone(), self.clock(now)));
        self.reference = Reference::new(self.settings.clone());
    }

    /// The daemon is killed.
    pub fn stop(&mut self) {
        self.machine = None;
        self.life += 1;
        self.poll += 1;
        self.wake = None;
        self.rests = None;
        (self.steady, self.skipped) = (false, None);
        self.heard = None;
        self.denied = false;
        self.canceled.clear();
        self.held.clear();
        self.told_of_maintenance = false;
    }

    /// What the machine has reason to believe is on the disk.
    pub fn written(&self) -> Option<&Journal> {
        self.disk.as_deref().filter(|_| self.unwritten.is_none())
    }

    /// Whether this answers a request that was given up.
    pub fn has_canceled(&self, event: &Event) -> bool {
        matches!(event, Event::AgentAnswered { id, .. } if self.canceled.contains(id))
    }

    /// A drain is under way.
    pub fn is_draining(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::is_draining)
    }

    /// What its daemon does can be told from its settings and its journal.
    pub fn may_complain(&self) -> bool {
        !self.has_forgotten && !self.disk_refuses && self.machine.is_some()
    }

    /// Nothing is under way or waited for, and a reading that says what the last one said changes nothing.
    pub fn is_idle(&self) -> bool {
        let idle = self.machine.as_ref().is_some_and(Machine::is_idle);
        let news = self.spot.is_some() || self.maintenance.is_some();
        idle && self.heard == Some(TargetState::InService) && !news
    }

    /// Whether the machine knows what IMDS says, and hearing it once more changes nothing: then the poll is skipped.
    pub fn knows(&self, reading: &ImdsReading, now: Time) -> bool {
        let ImdsReading::TargetState(Some(state)) = reading else { return false };
        // After a freeze, a poll may come before a wake-up that is overdue.
        let due = self.wake.is_some_and(|(at, _)| at <= now);
        let same = self.steady && !due && self.heard.as_ref() == Some(state);
        let withdraws = *state == TargetState::InService && self.may_withdraw();
        same && !withdraws && !self.forgetful && self.spot.is_none()
    }

    /// Whether `InService`, once it has been heard for long enough, may withdraw a notice.
    fn may_withdraw(&self) -> bool {
        let writes = self.machine.as_ref().is_some_and(Machine::is_writing);
        let Some(journal) = self.unwritten.as_ref().or(self.disk.as_ref()).filter(|_| !writes) else {
            return true;
        };
        journal.notices.rows().iter().any(|row| Category::TargetState.covers(row.reason))
    }

    /// The last of the polls before `now` that it has skipped.
    pub fn last_skipped(&self, now: Time) -> Option<Time> {
        let last = self.next_poll(now - Duration::from_millis(1), POLL) - POLL;
        self.rests.filter(|since| last > *since).map(|_| last)
    }

    /// The first of its poll times after `now`.
    pub fn next_poll(&self, now: Time, pause: Duration) -> Time {
        let (phase_ms, pause_ms) = (self.phase.as_millis() as u64, pause.as_millis() as u64);
        let since = now.unix_ms().saturating_sub(phase_ms) / 1000 * 1000 + phase_ms;
        Time::from_unix_ms(since + pause_ms.max(1000))
    }
}
