//! What must hold, checked where it must hold.

use std::collections::BTreeSet;

use super::report::Report;

/// The assertions that have been found broken.
#[derive(Debug, Default)]
pub(super) struct Defects(BTreeSet<&'static str>);

impl Defects {
    /// An assertion is broken. Debug builds panic: tests, fleets and fuzzing must not go on. A release build must, so
    /// there it is a report, once for each assertion.
    pub fn found(&mut self, what: &'static str) -> Option<Report> {
        if cfg!(debug_assertions) {
            panic!("defect: {what}");
        }
        self.note(what)
    }

    fn note(&mut self, what: &'static str) -> Option<Report> {
        self.0.insert(what).then_some(Report::Defect { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine in production breaks the same assertion at every event. The log has it once.
    #[test]
    fn a_release_build_reports_each_defect_once() {
        let mut defects = Defects::default();
        assert_eq!(defects.note("one"), Some(Report::Defect { what: "one" }));
        assert_eq!(defects.note("one"), None);
        assert_eq!(defects.note("another"), Some(Report::Defect { what: "another" }));
    }

    #[test]
    #[should_panic(expected = "defect: one")]
    #[cfg(debug_assertions)]
    fn a_debug_build_panics() {
        Defects::default().found("one");
    }
}
