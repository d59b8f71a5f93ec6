//! Runs tasks that must not end. If one ends or panics, that is logged and the task is restarted.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::under_way::panic_message;

/// The first pause before a restart.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause. After a task has run for longer than this, the pauses start over.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A supervised task. Dropping this stops it.
#[derive(Debug)]
pub struct Supervised(JoinHandle<()>);

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps a task running. `start` creates it, also for each restart.
pub fn supervise<F>(name: &'static str, mut start: impl FnMut() -> F + Send + 'static) -> Supervised
where
    F: Future<Output = ()> + Send + 'static,
{
    Supervised(tokio::spawn(async move {
        let mut pause = PAUSE_FIRST;
        loop {
            // A set, because dropping it stops its task.
            let mut task = JoinSet::new();
            let running = start();
            task.spawn(async move {
                #[cfg(debug_assertions)]
                super::kill::panic_if_ordered(name);
                running.await;
            });
            let ended = match tokio::time::timeout(PAUSE_MAX, task.join_next()).await {
                Ok(ended) => ended,
                Err(_) => {
                    pause = PAUSE_FIRST;
                    task.join_next().await
                }
            };
            let why = how_it_ended(ended);
            tracing::error!(task = name, "the task {name} {why}; restarting it in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }))
}

fn how_it_ended(ended: Option<Result<(), JoinError>>) -> String {
    match ended {
        Some(Err(error)) if error.is_panic() => {
            format!("panicked: {}", panic_message(&*error.into_panic()))
        }
        Some(Ok(()) | Err(_)) | None => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    /// The first run panics, the second returns, and the third is stopped with its supervisor.
    #[tokio::test]
    async fn a_task_that_ends_is_restarted() {
        let (started, mut starts) = mpsc::unbounded_channel();
        let mut count = 0;
        let supervised = supervise("test", move || {
            count += 1;
            let (count, started) = (count, started.clone());
            async move {
                started.send(count).expect("the test listens");
                match count {
                    1 => panic!("the first"),
                    2 => {}
                    _ => std::future::pending().await,
                }
            }
        });
        for count in 1..=3 {
            assert_eq!(starts.recv().await, Some(count));
        }
        drop(supervised);
        assert_eq!(starts.recv().await, None, "it has been stopped");
    }
}
