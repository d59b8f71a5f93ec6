//! One instance of a fleet: its daemon's machine, its disk, and what the instance waits for.

use std::sync::Arc;
use std::time::Duration;

use crate::schedule::Due;
use crate::world::LifeCycle;
use machine::effect::EffectId;
use machine::event::{ImdsReading, SpotNotice, TargetState};
use machine::journal::Journal;
use machine::notice::{Category, Reason};
use machine::settings::Settings;
use machine::{Event, Machine, Time};

use super::agents::{Held, Other};
use super::calls::{Credentials, Trouble};
use super::ec2::Maintenance;
use super::poll::POLL;
use super::reference::Reference;
use super::units::Unit;
use super::volume::Replacement;

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
    /// The last journal that the machine wrote, if the disk refused it and still holds an older one.
    pub unwritten: Option<Box<Journal>>,
    /// How many milliseconds its clock is ahead.
    pub clock_ms: i64,
    /// The number of boots.
    boot: u32,
    /// When it booted, by true time.
    booted: Time,
    /// The number of the daemon's life. Steps that an earlier life planned are ignored.
    pub life: u32,
    /// The number of the last planned poll of IMDS. Earlier ones are ignored.
    pub poll: u32,
    /// The planned wake-up.
    pub wake: Option<Due>,
    /// When it became idle in service. Until something happens, polls that would hear `InService` again are skipped.
    pub rests: Option<Time>,
    /// The last poll changed nothing, and the machine has handled no other event since.
    pub steady: bool,
    /// The last skipped poll that heard the same. The machine handles it right before its next event.
    pub skipped: Option<Time>,
    /// When in each second it polls.
    pub phase: Duration,
    /// The last target state that the daemon heard in this life.
    pub heard: Option<TargetState>,
    /// IMDS denied that there is a target state, and has said nothing since. To a daemon that had heard none, this is news.
    pub denied: bool,
    /// How the instance was bought, once IMDS has told this life of the daemon.
    pub life_cycle: Option<LifeCycle>,
    /// Requests to agents, after steps and force steps that this life of the daemon has canceled. Their results are dropped.
    pub canceled: Vec<EffectId>,
    /// Requests that agents hold.
    pub held: Vec<Held>,
    /// Its agents other than the world's.
    pub others: Vec<Other>,
    /// The units of all its agents, if they are units.
    pub units: Vec<Unit>,
    /// Its disk refuses all further writes.
    pub disk_refuses: bool,
    /// What is wrong with its calls until it is gone.
    pub trouble: Trouble,
    pub credentials: Credentials,
    /// The maintenance that EC2 has scheduled.
    pub maintenance: Option<Maintenance>,
    /// A deadline that maintenance had set before it was moved or canceled, and until when its daemon may use it.
    pub before_move: Option<(Time, Time)>,
    /// How many times EC2 has scheduled maintenance.
    pub maintenances: u32,
    /// Its daemon has heard in this life that there is no maintenance.
    pub told_of_maintenance: bool,
    /// Until when the daemon may believe a message about maintenance, even if nothing came of it.
    pub believes_until: Option<Time>,
    /// When EC2 interrupts its capacity reservation, as a message announced.
    pub capacity: Option<Time>,
    /// Until when the daemon may believe a message about a spot interruption that will not come.
    pub false_alarm: Option<Time>,
    /// When Auto Scaling decided to terminate it.
    pub asked_for: Option<Time>,
    /// The earliest time at which its daemon may place the start of its last action, and the action's global timeout.
    pub action: Option<(Time, Duration)>,
    /// The shortest global timeout of the hook that its daemon has read.
    pub hook_told: Option<Duration>,
    /// A life of its daemon started with no journal, or with one that was not the latest.
    pub has_forgotten: bool,
    /// The message of its first action was sent again. A daemon that lost its journal may date any action by it.
    pub has_old_message: bool,
    /// Its daemon lost what it knew, and has not started a drain since.
    pub is_astray: bool,
    /// An agent's work was ended before its deadline in this drain. That is its time, even if it gets more.
    pub is_forced: bool,
    /// The tokens of its actions, in order.
    pub tokens: Vec<String>,
    /// When its agents were told in the current drain, by true time.
    pub told_at: Option<Time>,
    /// Its clock has jumped and was not corrected.
    pub clock_is_off: bool,
    /// Its journal was lost, and it has not heard `InService` since. Its daemon does not treat a `Warmed:…` state as a
    /// notice.
    pub forgetful: bool,
    /// IMDS answers nothing before this time.
    pub imds_silent_until: Time,
    /// It was a target of the target groups at first.
    pub is_target: bool,
    /// When its agents are ready to serve; `None`: never. Only with a launching hook.
    pub ready_at: Option<Time>,
    /// Heartbeats and completions for a launch that this life of the daemon has sent.
    pub launch_calls: Vec<EffectId>,
    /// The agent answers nothing before this time.
    pub agent_hangs_until: Time,
    /// The instance is frozen until this time.
    pub frozen_until: Time,
    /// The spot interruption that EC2 has announced.
    pub spot: Option<SpotNotice>,
    /// How its root volume is replaced, if it is.
    pub new_volume: Option<Replacement>,
    /// It was retained, and then released.
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
            life_cycle: None,
            canceled: Vec::new(),
            held: Vec::new(),
            others: Vec::new(),
            units: Vec::new(),
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
            is_forced: false,
            tokens: Vec::new(),
            told_at: None,
            clock_is_off: false,
            forgetful: false,
            imds_silent_until: never,
            is_target: false,
            ready_at: None,
            launch_calls: Vec::new(),
            agent_hangs_until: never,
            frozen_until: never,
            spot: None,
            new_volume: None,
            released: false,
            gone: false,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What its clock shows.
    pub fn clock(&self, now: Time) -> Time {
        Time::from_unix_ms(now.unix_ms().saturating_add_signed(self.clock_ms))
    }

    /// The time at which its clock will show `shown`.
    pub fn when(&self, shown: Time) -> Time {
        Time::from_unix_ms(shown.unix_ms().saturating_add_signed(-self.clock_ms))
    }

    /// Boots the instance again.
    pub fn boot(&mut self, now: Time) {
        self.boot += 1;
        self.booted = now;
        Arc::make_mut(&mut self.settings).boot_id = Some(format!("boot {}", self.boot));
    }

    /// Starts the daemon. Its first event is still to come.
    pub fn start(&mut self, now: Time) {
        let booted_at = Some(self.clock(self.booted));
        if self.settings.booted_at != booted_at {
            Arc::make_mut(&mut self.settings).booted_at = booted_at;
        }
        self.machine = Some(Machine::new(self.settings.clone(), self.clock(now)));
        self.reference = Reference::new(self.settings.clone());
    }

    /// Kills the daemon.
    pub fn stop(&mut self) {
        self.machine = None;
        self.life += 1;
        self.poll += 1;
        self.wake = None;
        self.rests = None;
        (self.steady, self.skipped) = (false, None);
        self.heard = None;
        self.denied = false;
        self.life_cycle = None;
        self.canceled.clear();
        self.launch_calls.clear();
        self.held.clear();
        self.told_of_maintenance = false;
    }

    /// The journal on the disk. `None` if the machine knows that the disk refused a later one.
    pub fn written(&self) -> Option<&Journal> {
        self.disk.as_deref().filter(|_| self.unwritten.is_none())
    }

    /// Whether this is the answer to a canceled request, or the end of a step that was stopped.
    pub fn has_canceled(&self, event: &Event) -> bool {
        matches!(event, Event::AgentAnswered { id, .. } | Event::StepEnded { id, .. } if self.canceled.contains(id))
    }

    /// Whether a drain is under way.
    pub fn is_draining(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::is_draining)
    }

    /// Whether its settings and its journal fully determine what its daemon should do.
    pub fn may_complain(&self) -> bool {
        !self.has_forgotten && !self.disk_refuses && self.machine.is_some()
    }

    /// Whether nothing is under way or expected, so that the same reading again changes nothing.
    pub fn is_idle(&self) -> bool {
        let idle = self.machine.as_ref().is_some_and(Machine::is_idle);
        let news = self.spot.is_some() || self.maintenance.is_some();
        idle && self.heard == Some(TargetState::InService) && !news
    }

    /// Whether the machine knows this reading and hearing it again changes nothing. Such a poll is skipped.
    pub fn knows(&self, reading: &ImdsReading, now: Time) -> bool {
        let ImdsReading::TargetState(Some(state)) = reading else { return false };
        // After a freeze, a poll may come before an overdue wake-up.
        let due = self.wake.is_some_and(|(at, _)| at <= now);
        let same = self.steady && !due && self.heard.as_ref() == Some(state);
        let ignored = Reason::of_target(state).is_some_and(|reason| reason.is_ignored(&self.settings));
        let withdraws = (*state == TargetState::InService || ignored) && self.may_withdraw();
        same && !withdraws && !self.forgetful && self.spot.is_none()
    }

    /// Whether hearing for long enough that the instance stays may withdraw a notice.
    fn may_withdraw(&self) -> bool {
        let writes = self.machine.as_ref().is_some_and(Machine::is_writing);
        let Some(journal) = self.unwritten.as_ref().or(self.disk.as_ref()).filter(|_| !writes) else {
            return true;
        };
        journal.notices.rows().iter().any(|row| Category::TargetState.covers(row.reason))
    }

    /// The last poll before `now` that was skipped.
    pub fn last_skipped(&self, now: Time) -> Option<Time> {
        let last = self.next_poll(now - Duration::from_millis(1), POLL) - POLL;
        self.rests.filter(|since| last > *since).map(|_| last)
    }

    /// Its first poll after `now`, at least `pause` from the last one.
    pub fn next_poll(&self, now: Time, pause: Duration) -> Time {
        let (phase_ms, pause_ms) = (self.phase.as_millis() as u64, pause.as_millis() as u64);
        let since = now.unix_ms().saturating_sub(phase_ms) / 1000 * 1000 + phase_ms;
        Time::from_unix_ms(since + pause_ms.max(1000))
    }
}
