//! The one place that reads and writes the journal.
//!
//! One read or write at a time, and writes in the order of the decisions that they hold. The daemon stops waiting for one
//! that takes too long, but it keeps its turn and the next one begins after it. So an older journal never replaces a
//! later one, and a slow read never sets a later one aside.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{JournalFile, Unusable, Unwritten};
use machine::journal::Journal;

/// A write and two syncs. A disk that takes longer must not hold up a drain.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// The longest wait for the journal of the last run.
const LOAD_LIMIT: Duration = Duration::from_secs(5);

/// Why the journal of the last run is not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal or its folder cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The disk hangs.
    #[error("the disk took longer than {LOAD_LIMIT:?} to read the journal")]
    Slow,
    /// The system has no thread for it.
    #[error("cannot start a thread to read the journal: {0}")]
    NoThread(io::Error),
    /// A defect.
    #[error("reading the journal panicked: please report this")]
    Panicked,
}

/// Why a journal is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk refuses it, or the folder is refused.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// The disk still has not taken it, or an earlier one. It may yet.
    #[error("the disk took longer than {WRITE_LIMIT:?}")]
    Slow,
    /// The system has no thread for it.
    #[error("cannot start a thread to write the journal: {0}")]
    NoThread(io::Error),
    /// A defect.
    #[error("the writer of the journal panicked: please report this")]
    Panicked,
}

/// Reads and writes the journal. Its copies share one file.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Mutex<JournalFile>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A thread writes.
    is_writing: bool,
    /// What it writes next. A later journal takes the place of one that has not begun.
    next: Option<Order>,
    /// The last that was handed in, written or not.
    latest: Option<Arc<Journal>>,
}

#[derive(Debug)]
struct Order {
    journal: Arc<Journal>,
    result: oneshot::Sender<Result<(), Unwritten>>,
}

impl Writer {
    /// The writer of the journal in that folder. The folder is looked at anew for each write.
    pub fn new(folder: PathBuf) -> Self {
        Writer(Arc::new(Shared { file: Mutex::new(JournalFile::at(folder)), state: Mutex::default() }))
    }

    /// The last journal that was handed in.
    pub fn latest(&self) -> Option<Journal> {
        self.0.state().latest.as_deref().cloned()
    }

    /// What the last run on this instance wrote, if anything. Waits within a limit.
    pub async fn load(&self, instance_id: &str) -> Result<Option<Journal>, LoadError> {
        let (shared, instance_id) = (Arc::clone(&self.0), instance_id.to_owned());
        let (sender, result) = oneshot::channel();
        // The result may have been waited for too long.
        let load = move || drop(sender.send(shared.file().load(&instance_id)));
        start_thread(load).map_err(LoadError::NoThread)?;
        match tokio::time::timeout(LOAD_LIMIT, result).await {
            Ok(Ok(loaded)) => Ok(loaded?),
            Ok(Err(_)) => Err(LoadError::Panicked),
            Err(_) => Err(LoadError::Slow),
        }
    }

    /// Writes the journal, and waits for it within a limit.
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
    /// Hands an order in. It is returned where no thread writes: the caller has one write it.
    fn submit(&self, order: Order) -> Option<Order> {
        let mut state = self.state();
        state.latest = Some(Arc::clone(&order.journal));
        if std::mem::replace(&mut state.is_writing, true) {
            state.next = Some(order);
            return None;
        }
        Some(order)
    }

    /// Writes this journal, and those that are handed in meanwhile.
    fn write_all(self: Arc<Self>, first: Order) {
        let turn = Turn(&self);
        let mut next = Some(first);
        while let Some(order) = next {
            let result = self.file().write(&order.journal);
            // The result may have been waited for too long.
            let _ = order.result.send(result);
            next = turn.next();
        }
    }

    /// No thread writes any more, and what was to be written next is not.
    fn give_turn_up(&self) {
        let mut state = self.state();
        state.is_writing = false;
        state.next = None;
    }

    /// One read or write at a time. `JournalFile` has no state that a panic could leave half-done.
    fn file(&self) -> MutexGuard<'_, JournalFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is left half-done under the lock, so a panic in another thread has not spoiled it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one thread's turn to write; it is given up by a panic, too.
struct Turn<'a>(&'a Shared);

impl Turn<'_> {
    /// The next order. Where there is none, the turn is over.
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

/// Starts a thread: a disk that hangs must not stop the heartbeats. tokio's own panics where it cannot start one.
fn start_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("journal".to_owned()).spawn(work).map(drop)
}
