//! From a run that violates something to a smaller one that still does.

use std::time::Duration;

use super::{Outcome, Plan, run};

/// No run is made smaller than this: in less time nothing happens.
const SPAN_MIN: Duration = Duration::from_secs(60);

/// All runs on the way to a smaller one together have so many instances, or so many times those of the one that failed.
const INSTANCES_MAX: u64 = 5_000;
const RUNS_MAX: u64 = 8;

/// A smaller plan that violates something too, and what came out of it: fewer instances, less time, fewer kinds of
/// faults. Each step that still fails is kept, until none does or enough has been tried.
pub fn shrink(failed: &Plan) -> (Plan, Outcome) {
    let mut plan = failed.clone();
    let mut budget = INSTANCES_MAX.max(RUNS_MAX * u64::from(failed.instances));
    let mut fails = |plan: &Plan| {
        let affordable = budget >= u64::from(plan.instances);
        budget = budget.saturating_sub(u64::from(plan.instances));
        affordable && !run(plan).violations.is_empty()
    };
    while let Some(smaller) = smaller(&plan).into_iter().find(&mut fails) {
        plan = smaller;
    }
    let outcome = run(&Plan { trace: true, ..plan.clone() });
    (plan, outcome)
}

/// Plans that are one step smaller, those first that save most.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    if plan.instances > 1 {
        plans.push(Plan { instances: plan.instances / 2, ..plan.clone() });
    }
    if plan.span / 2 >= SPAN_MIN {
        plans.push(Plan { span: plan.span / 2, ..plan.clone() });
    }
    let fewer_faults =
        plan.faults.kinds().map(|fault| Plan { faults: plan.faults.clone().without(fault), ..plan.clone() });
    plans.extend(fewer_faults);
    if plan.instances > 2 {
        plans.push(Plan { instances: plan.instances - 1, ..plan.clone() });
    }
    plans
}
