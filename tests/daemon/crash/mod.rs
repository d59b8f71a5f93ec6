//! The daemon is killed right before and right after every effect that it can perform, and continues after a restart.
//!
//! The kill points are not listed here; they are found in runs without a kill. A point is the first time that an effect is
//! performed in a drain, or the second time where the drain guarantees one. Points that two runs have in common rarely
//! depend on timing, so it is a failure if runs do not reach more than a few of them.

mod excuses;
mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use machine::Effect;
use rustix::process::Signal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use play::{Drain, Played, play};

/// The most points that a run need not reach. On a busy machine, both runs that look for points may be slow enough for one more
/// call, such as a heartbeat. A run that ends well without the point shows that the point depends on timing.
const MISSED_MAX: usize = 2;

/// How many runs are played at a time. They mostly wait.
const AT_ONCE: usize = 8;

/// The points of a drain: those that two runs without a kill have in common. On a slow machine, a run may make an extra call,
/// but two runs rarely make the same one.
async fn points(drain: Drain) -> Vec<String> {
    let (mut points, others) = tokio::join!(points_of_a_run(drain), points_of_a_run(drain));
    points.retain(|point| others.contains(point));
    points
}

async fn points_of_a_run(drain: Drain) -> Vec<String> {
    let Played { points, ends } = play(drain, &[], 0).await;
    assert!(ends.is_empty(), "{drain:?}: the daemon died without an order: {ends:?}");
    assert!(!points.is_empty(), "there are no kill points: they exist in debug builds only");
    let from = drain.from().map_or(Some(0), |from| points.iter().position(|point| point == from));
    let from = from.expect("the drain reaches the start of its own points");
    let mut found = Vec::new();
    let mut times = BTreeMap::new();
    for (place, point) in points.iter().enumerate() {
        let times: &mut u32 = times.entry(point).or_default();
        *times += 1;
        let (_, effect) = point.split_once(' ').expect("a moment and an effect");
        if place >= from && (*times == 1 || *times == 2 && drain.twice().contains(&effect)) {
            found.push(format!("{times} {point}"));
        }
    }
    found
}

/// Kills the daemon once, at one point. The drain must still end well. Returns whether the daemon reached the point.
async fn die(drain: Drain, signal: Signal, point: String) -> bool {
    let order = format!("{} {point}", if signal == Signal::KILL { "SIGKILL" } else { "SIGTERM" });
    let Played { points, ends } = play(drain, &[order], 1).await;
    let (times, place) = point.split_once(' ').expect("a number and a place");
    let reached = points.iter().filter(|point| *point == place).count();
    if ends.is_empty() && reached < times.parse().expect("a number") {
        return false;
    }
    let killed: Vec<_> = ends.iter().map(|end| (end.signal(), end.code())).collect();
    let expected = if signal == Signal::KILL { (Some(signal.as_raw()), None) } else { (None, Some(0)) };
    assert_eq!(killed, [expected], "the daemon did not die at this point, or died elsewhere");
    true
}

/// Plays one run for each of these points, and kills the daemon there.
async fn die_at_each(drain: Drain, signal: Signal, points: Vec<String>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    let mut names = BTreeMap::new();
    for point in points {
        let (places, order) = (Arc::clone(&places), point.clone());
        let run = runs.spawn(async move {
            let _place = places.acquire().await.expect("never closed");
            die(drain, signal, order).await
        });
        names.insert(run.id().to_string(), point);
    }
    println!("{drain:?}: {} kill points", names.len());
    let (mut failed, mut missed) = (Vec::new(), Vec::new());
    while let Some(run) = runs.join_next_with_id().await {
        match run {
            Ok((_, true)) => {}
            Ok((id, false)) => missed.push(names[&id.to_string()].clone()),
            Err(error) => failed.push(names[&error.id().to_string()].clone()),
        }
    }
    assert!(missed.len() <= MISSED_MAX, "{drain:?}: these points were not reached: {missed:#?}");
    assert!(
        failed.is_empty(),
        "{drain:?}, {signal:?}: these points failed, with the reasons above: {failed:#?}"
    );
}

async fn kill_at_every_point(drain: Drain) {
    die_at_each(drain, Signal::KILL, points(drain).await).await;
}

#[tokio::test]
async fn queue() {
    kill_at_every_point(Drain::Queue).await;
}

#[tokio::test]
async fn answers_lost() {
    kill_at_every_point(Drain::AnswersLost).await;
}

#[tokio::test]
async fn deadline() {
    kill_at_every_point(Drain::Deadline).await;
}

#[tokio::test]
async fn withdrawn() {
    kill_at_every_point(Drain::Withdrawn).await;
}

#[tokio::test]
async fn step() {
    kill_at_every_point(Drain::Step).await;
}

#[tokio::test]
async fn force() {
    kill_at_every_point(Drain::Force).await;
}

#[tokio::test]
async fn launch() {
    kill_at_every_point(Drain::Launch).await;
}

#[tokio::test]
async fn protection() {
    kill_at_every_point(Drain::Protection).await;
}

#[tokio::test]
async fn step_that_hangs() {
    kill_at_every_point(Drain::StepHangs).await;
}

/// The daemon gets SIGTERM before each effect, stops cleanly, and continues after a restart.
#[tokio::test]
async fn stop_before_every_effect() {
    let points = points(Drain::Queue).await.into_iter().filter(|point| point.contains(" before "));
    die_at_each(Drain::Queue, Signal::TERM, points.collect()).await;
}

/// In one drain, every life is killed at the first point where no earlier life was killed. After so many kills, the course
/// of the drain depends on timing, so some runs miss a point.
#[tokio::test]
async fn many_kills_in_one_drain() {
    for drain in [Drain::Queue, Drain::AnswersLost] {
        let orders: Vec<_> = points(drain).await.iter().map(|point| format!("SIGKILL {point}")).collect();
        let Played { ends, .. } = play(drain, &orders, 0).await;
        println!("{drain:?}: {} deaths in one drain that has {} kill points", ends.len(), orders.len());
        assert!(ends.iter().all(|end| end.signal() == Some(Signal::KILL.as_raw())), "{ends:?}");
        assert!(ends.len() > orders.len() / 2, "the daemon died at too few points");
    }
}

macro_rules! effects {
    ($($effect:ident),* $(,)?) => {
        const EFFECTS: &[&str] = &[$(stringify!($effect)),*];

        /// Fails to compile if an effect is missing above.
        #[allow(dead_code, reason = "it only has to compile")]
        fn all_effects_are_listed(effect: &Effect) {
            match effect {
                $(Effect::$effect { .. } => {})*
            }
        }
    };
}

effects! {
    WriteJournal, AskAgent, Heartbeat, Complete, DescribeInstance, DescribeHooks, ReceiveMessages, SetVisibility,
    AskReady, AskBusy, Protect, DeleteMessage, CancelRequest, ForceAgent, RunStep, StopStep, DescribeTarget, DeregisterTarget,
    RegisterTarget,
}

/// Every kind of effect has a kill point in at least one of the drains.
#[tokio::test]
async fn every_effect_has_a_kill_point() {
    let mut found = BTreeSet::new();
    for drain in Drain::ALL {
        let points = points(drain).await;
        println!("{drain:?}: {points:#?}");
        let effects = points.iter().filter_map(|point| point.split(' ').nth(2)).map(str::to_owned);
        found.extend(effects);
    }
    // Reports are not effects, but they have kill points too.
    let expected: BTreeSet<String> =
        EFFECTS.iter().chain(&["Report"]).map(|effect| (*effect).to_owned()).collect();
    assert_eq!(found, expected);
}
