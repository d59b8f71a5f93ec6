//! Finds a smaller run that still violates something.

use std::time::Duration;

use super::{Outcome, Plan, run};

/// The shortest run. In less time nothing happens.
const SPAN_MIN: Duration = Duration::from_secs(60);

/// The most instances in all tried runs together, unless `RUNS_MAX` runs of the failed size have more.
const INSTANCES_MAX: u64 = 5_000;
const RUNS_MAX: u64 = 8;

/// Returns a smaller plan that violates something too, and its outcome. It has fewer instances, less time and fewer kinds
/// of faults. Keeps every step that still fails, until no step fails or enough runs were tried.
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

/// Plans that are one step smaller. Those that save most come first.
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
