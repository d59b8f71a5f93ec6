//! The only place that reads and writes the journal.
//!
//! It does one read or write at a time, and writes in the order of the decisions. The daemon stops waiting for a read or write
//! that takes too long, but that one keeps its turn, and the next begins after it. So an older journal never replaces a
//! later one, and a slow read never sets a later journal aside.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{JournalFile, Unusable, Unwritten};
use machine::journal::Journal;

/// Limit for a write and two syncs. A slower disk must not delay a drain.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// Limit for reading the journal of the last run.
const LOAD_LIMIT: Duration = Duration::from_secs(5);

/// Why the journal of the last run is not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal or its folder cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The disk did not answer in time.
    #[error("the disk took longer than {LOAD_LIMIT:?} to read the journal")]
    Slow,
    /// The system could not start a thread.
    #[error("cannot start a thread to read the journal: {0}")]
    NoThread(io::Error),
    /// A defect in drainhook.
    #[error("reading the journal panicked; please report this bug")]
    Panicked,
}

/// Why a journal is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The write failed, or the folder was refused.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// This write, or an earlier one, is not finished. It may still succeed.
    #[error("the disk took longer than {WRITE_LIMIT:?}")]
    Slow,
    /// The system could not start a thread.
    #[error("cannot start a thread to write the journal: {0}")]
    NoThread(io::Error),
    /// A defect in drainhook.
    #[error("writing the journal panicked; please report this bug")]
    Panicked,
}

/// Reads and writes the journal. Clones share one file.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Mutex<JournalFile>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A thread is writing.
    is_writing: bool,
    /// What it writes next. A later journal replaces one whose write has not begun.
    next: Option<Order>,
    /// The last journal that was submitted, written or not.
    latest: Option<Arc<Journal>>,
}

#[derive(Debug)]
struct Order {
    journal: Arc<Journal>,
    result: oneshot::Sender<Result<(), Unwritten>>,
}

impl Writer {
    /// A writer for the journal in that folder. The folder is checked at each write.
    pub fn new(folder: PathBuf) -> Self {
        Writer(Arc::new(Shared { file: Mutex::new(JournalFile::at(folder)), state: Mutex::default() }))
    }

    /// The last journal that was submitted.
    pub fn latest(&self) -> Option<Journal> {
        self.0.state().latest.as_deref().cloned()
    }

    /// Reads the journal of the last run on this instance, within a limit.
    pub async fn load(&self, instance_id: &str) -> Result<Option<Journal>, LoadError> {
        let (shared, instance_id) = (Arc::clone(&self.0), instance_id.to_owned());
        let (sender, result) = oneshot::channel();
        // The receiver may have timed out.
        let load = move || drop(sender.send(shared.file().load(&instance_id)));
        start_thread(load).map_err(LoadError::NoThread)?;
        match tokio::time::timeout(LOAD_LIMIT, result).await {
            Ok(Ok(loaded)) => Ok(loaded?),
            Ok(Err(_)) => Err(LoadError::Panicked),
            Err(_) => Err(LoadError::Slow),
        }
    }

    /// Writes the journal, and waits within a limit until it is on disk.
    pub async fn write(&self, journal: Journal) -> Result<(), WriteError> {
        let (sender, result) = oneshot::channel();
        if let Some(order) = self.0.submit(Order { journal: Arc::new(journal), result: sender }) {
            let shared = Arc::clone(&self.0);
            if let Err(error) = start_thread(move || shared.write_all(order)) {
                self.0.give_turn_up();
                return Err(WriteError::NoThread(error));
            }
        }
        match tokio::time::timeout(WRITE_LIMIT, result).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(WriteError::Panicked),
            Err(_) => Err(WriteError::Slow),
        }
    }
}

impl Shared {
    /// Submits an order. Returns it if no thread is writing; the caller must then start one.
    fn submit(&self, order: Order) -> Option<Order> {
        let mut state = self.state();
        state.latest = Some(Arc::clone(&order.journal));
        if std::mem::replace(&mut state.is_writing, true) {
            state.next = Some(order);
            return None;
        }
        Some(order)
    }

    /// Writes this journal, and those that are submitted meanwhile.
    fn write_all(self: Arc<Self>, first: Order) {
        let turn = Turn(&self);
        let mut next = Some(first);
        while let Some(order) = next {
            let result = self.file().write(&order.journal);
            // The receiver may have timed out.
            let _ = order.result.send(result);
            next = turn.next();
        }
    }

    /// Ends the writing thread's turn and drops the next order.
    fn give_turn_up(&self) {
        let mut state = self.state();
        state.is_writing = false;
        state.next = None;
    }

    /// Allows one read or write at a time. A poisoned lock is fine: a panic cannot leave `JournalFile` inconsistent.
    fn file(&self) -> MutexGuard<'_, JournalFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poisoned lock is fine: no code under it can leave the state inconsistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing thread's turn. A panic ends it too.
struct Turn<'a>(&'a Shared);

impl Turn<'_> {
    /// The next order. If there is none, the turn ends.
    fn next(&self) -> Option<Order> {
        let mut state = self.0.state();
        let next = state.next.take();
        state.is_writing = next.is_some();
        next
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_turn_up();
        }
    }
}

/// Starts a thread, so that a hung disk does not stop the heartbeats. `spawn_blocking` would panic if no thread can start.
fn start_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("journal".to_owned()).spawn(work).map(drop)
}
