//! The daemon is killed right before and right after every effect that it can perform, and goes on.
//!
//! The points are found, not listed: runs without a death tell them. A point is the first time that an effect is
//! performed in a drain (or the second, where the drain is made so that there always is one): the same in every
//! run, whatever the timing, so that a point which is not reached is a failure.

mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use machine::Effect;
use rustix::process::Signal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use play::{Drain, Played, play};

/// Runs at a time: they mostly wait.
const AT_ONCE: usize = 8;

/// The points of a drain: what two runs without a death have in common. A slow machine can bring a call about that
/// is no part of the drain, but hardly twice.
async fn points(drain: Drain) -> Vec<String> {
    let (mut points, others) = tokio::join!(points_of_a_run(drain), points_of_a_run(drain));
    points.retain(|point| others.contains(point));
    points
}

async fn points_of_a_run(drain: Drain) -> Vec<String> {
    let Played { points, ends } = play(drain, &[], 0).await;
    assert!(ends.is_empty(), "{drain:?}: it died without an order: {ends:?}");
    assert!(!points.is_empty(), "there are no kill points: they exist in debug builds only");
    let from = drain.from().map_or(Some(0), |from| points.iter().position(|point| point == from));
    let from = from.expect("the drain comes to where its own points begin");
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

/// Dies once, at one point, and the drain ends well all the same.
async fn die(drain: Drain, signal: Signal, point: String) {
    let order = format!("{} {point}", if signal == Signal::KILL { "SIGKILL" } else { "SIGTERM" });
    let Played { ends, .. } = play(drain, &[order], 1).await;
    let killed: Vec<_> = ends.iter().map(|end| (end.signal(), end.code())).collect();
    let expected = if signal == Signal::KILL { (Some(signal.as_raw()), None) } else { (None, Some(0)) };
    assert_eq!(killed, [expected], "it did not come to this point, or died elsewhere");
}

/// Dies at each of these points, in a run of its own each.
async fn die_at_each(drain: Drain, signal: Signal, points: Vec<String>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    let mut names = BTreeMap::new();
    for point in points {
        let (places, order) = (Arc::clone(&places), point.clone());
        let run = runs.spawn(async move {
            let _place = places.acquire().await.expect("never closed");
            die(drain, signal, order).await;
        });
        names.insert(run.id().to_string(), point);
    }
    println!("{drain:?}: {} kill points", names.len());
    let mut failed = Vec::new();
    while let Some(run) = runs.join_next_with_id().await {
        if let Err(error) = run {
            failed.push(names[&error.id().to_string()].clone());
        }
    }
    assert!(failed.is_empty(), "{drain:?}, {signal:?}: what went wrong stands above, for: {failed:#?}");
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

/// It is told to leave before each effect, leaves in order, and goes on.
#[tokio::test]
async fn leave_before_every_effect() {
    let points = points(Drain::Queue).await.into_iter().filter(|point| point.contains(" before "));
    die_at_each(Drain::Queue, Signal::TERM, points.collect()).await;
}

/// One drain, in which every life dies at the first point that none before has died at. Which way the drain takes after
/// so many deaths is a matter of timing, and some ways miss a point.
#[tokio::test]
async fn death_after_death() {
    for drain in [Drain::Queue, Drain::AnswersLost] {
        let orders: Vec<_> = points(drain).await.iter().map(|point| format!("SIGKILL {point}")).collect();
        let Played { ends, .. } = play(drain, &orders, 0).await;
        println!("{drain:?}: {} deaths in one drain that has {} kill points", ends.len(), orders.len());
        assert!(ends.iter().all(|end| end.signal() == Some(Signal::KILL.as_raw())), "{ends:?}");
        assert!(ends.len() > orders.len() / 2, "too few to mean much");
    }
}

macro_rules! effects {
    ($($effect:ident),* $(,)?) => {
        const EFFECTS: &[&str] = &[$(stringify!($effect)),*];

        /// Does not compile where an effect is missing above.
        #[allow(dead_code, reason = "it is there to be compiled")]
        fn all_effects_are_listed(effect: &Effect) {
            match effect {
                $(Effect::$effect { .. } => {})*
            }
        }
    };
}

effects! {
    WriteJournal, AskAgent, Heartbeat, Complete, DescribeInstance, DescribeHooks, ReceiveMessages, SetVisibility,
    DeleteMessage, CancelRequest,
}

/// Every effect that there is has a kill point in one of the drains.
#[tokio::test]
async fn every_effect_is_killed_at() {
    let mut found = BTreeSet::new();
    for drain in Drain::ALL {
        let points = points(drain).await;
        println!("{drain:?}: {points:#?}");
        let effects = points.iter().filter_map(|point| point.split(' ').nth(2)).map(str::to_owned);
        found.extend(effects);
    }
    // What people are told is no effect, and has kill points all the same.
    let expected: BTreeSet<String> =
        EFFECTS.iter().chain(&["Report"]).map(|effect| (*effect).to_owned()).collect();
    assert_eq!(found, expected);
}
