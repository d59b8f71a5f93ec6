//! Failed assertions.

use std::collections::BTreeSet;

use super::report::Report;

/// The assertions that have failed.
#[derive(Debug, Default)]
pub(super) struct Defects(BTreeSet<&'static str>);

impl Defects {
    /// Records a failed assertion. Debug builds panic, so that tests, fleets and fuzzing stop. A release build must go on, so
    /// it returns a report, once per assertion.
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

    /// In production the same assertion fails at every event. It is logged once.
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
