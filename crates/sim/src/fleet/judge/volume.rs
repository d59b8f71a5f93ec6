//! Whether a daemon has heard that the root volume of its instance is replaced. Only a message tells.

use super::super::plan::HOOK;
use crate::world::Happening;
use machine::journal::Journal;
use machine::notice::Reason;
use machine::report::{NoticeChange, Report};

/// A replacement of the root volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Volume {
    /// No replacement is under way.
    #[default]
    Stays,
    /// Its daemon has not received the message, or has lost what it knew.
    Unheard,
    /// Its daemon knows.
    Heard,
    /// Its daemon has completed the action, so the instance reboots.
    Completed,
}

impl Volume {
    /// Returns whether a termination has begun that its daemon learns of before it has heard of the replacement.
    pub fn observes(&mut self, happening: &Happening) -> bool {
        let before = *self;
        match happening {
            Happening::ReplacingRootVolume { .. } => *self = Volume::Unheard,
            Happening::RootVolumeReplaced { .. } | Happening::TerminationRequested { .. } => {
                *self = Volume::Stays
            }
            Happening::Completed { hook, .. } if hook == HOOK && *self == Volume::Heard => {
                *self = Volume::Completed
            }
            _ => {}
        }
        before == Volume::Unheard && matches!(happening, Happening::TerminationRequested { .. })
    }

    /// Whether work that the agents take now is lost, as their daemon knows.
    pub fn awaits_reboot(self) -> bool {
        self == Volume::Completed
    }

    /// The daemon receives the message of the replacement. Returns whether it has not heard before.
    pub fn hears(&mut self) -> bool {
        let news = *self == Volume::Unheard;
        if news {
            *self = Volume::Heard;
        }
        news
    }

    /// Returns whether the daemon has just heard.
    pub fn reports(&mut self, report: &Report) -> bool {
        let Report::Notice { reason: Reason::RootVolumeReplacement, change, .. } = report else {
            return false;
        };
        *change == NoticeChange::Appeared && self.hears()
    }

    /// A life of the daemon starts.
    pub fn starts(&mut self, disk: Option<&Journal>) {
        let mut rows = disk.into_iter().flat_map(|journal| journal.notices.rows());
        let knew = matches!(self, Volume::Heard | Volume::Completed);
        if knew && !rows.any(|row| row.reason == Reason::RootVolumeReplacement) {
            *self = Volume::Unheard;
        }
    }
}
