//! From a run that violates something to a smaller one that still does.

use std::time::Duration;

use super::{Outcome, Plan, run};

/// No run is made smaller than this: in less time nothing happens.
const SPAN_MIN: Duration = Duration::from_secs(60);

/// A smaller plan that violates something too, and what came out of it: fewer kinds of faults, fewer instances, less
/// time. Each step that still fails is kept, until none does.
pub fn shrink(failed: &Plan) -> (Plan, Outcome) {
    let mut plan = failed.clone();
    while let Some(smaller) = smaller(&plan).into_iter().find(|plan| !run(plan).violations.is_empty()) {
        plan = smaller;
    }
    let outcome = run(&Plan { trace: true, ..plan.clone() });
    (plan, outcome)
}

/// Plans that are one step smaller.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let fewer_faults =
        plan.faults.kinds().map(|fault| Plan { faults: plan.faults.clone().without(fault), ..plan.clone() });
    let mut plans: Vec<Plan> = fewer_faults.collect();
    if plan.instances > 1 {
        plans.push(Plan { instances: plan.instances / 2, ..plan.clone() });
        plans.push(Plan { instances: plan.instances - 1, ..plan.clone() });
    }
    if plan.span / 2 >= SPAN_MIN {
        plans.push(Plan { span: plan.span / 2, ..plan.clone() });
    }
    plans
}
