//! Runs the real daemon as a child process, against a simulated AWS in the test's process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use drainhook::clock::{Clock, Scale};
use drainhook::daemon::control::Answer;
use drainhook::daemon::journal::JournalFile;
use drainhook::serve::{Addresses, Service};
use machine::Time;
use machine::journal::{Journal, VERSION};
use machine::launch::LaunchStage;
use machine::notice::{Notice, Reason, Source};
use machine::status::Status;
use sim::invariant::Invariants;
use sim::world::{Happening, Health, TargetRef, WorldConfig};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long to wait before a test fails. Nothing here should take longer than seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Environment variables of a daemon.
pub type Variables = BTreeMap<&'static str, String>;

/// Waits, and fails the test on a timeout.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("timed out waiting for {what}"))
}

/// Polls until something holds, such as a number of requests to a scripted server.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    in_time(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A simulated AWS, and the history of what happened in it.
pub struct Stage {
    pub service: Arc<Service>,
    pub folder: tempfile::TempDir,
    scale: Option<Scale>,
    changed: watch::Receiver<u64>,
    pub history: Vec<(Time, Happening)>,
}

impl Stage {
    /// Serves a world on free ports. Its time runs `speed` times as fast as real time.
    pub async fn new(speed: u32, config: WorldConfig) -> Self {
        Self::at(Addresses::default(), speed, config).await
    }

    /// As above, at these addresses.
    pub async fn at(addresses: Addresses, speed: u32, config: WorldConfig) -> Self {
        let scale = (speed > 1).then(|| Scale { epoch: Clock::start(None).now(), speed });
        let clock = Clock::start(scale);
        let service = Service::start(config, clock, addresses).await.expect("addresses of this machine");
        let folder = tempfile::tempdir().expect("a folder");
        Stage { changed: service.subscribe(), service: Arc::new(service), folder, scale, history: Vec::new() }
    }

    /// The id of the first instance.
    pub fn instance(&self) -> String {
        self.instances().swap_remove(0)
    }

    pub fn instances(&self) -> Vec<String> {
        self.service.instances().into_iter().map(|view| view.id).collect()
    }

    /// The environment of an instance's daemon.
    pub fn variables(&self, instance: &str) -> Variables {
        let folder = self.folder.path().join(instance);
        std::fs::create_dir_all(&folder).expect("a folder");
        let endpoints = self.service.endpoints(instance).expect("it listens");
        let region = self.service.world(|world, _| world.config().region.clone());
        let queue = self.service.world(|world, _| world.config().queue.clone());
        let mut variables = Variables::from([
            ("AWS_ENDPOINT_URL", self.service.aws_url().to_owned()),
            ("AWS_REGION", region),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoints.imds),
            ("DRAINHOOK_AGENT__URL", endpoints.agent),
            ("DRAINHOOK_CONTROL__SOCKET", folder.join("control.sock").display().to_string()),
            ("DRAINHOOK_JOURNAL__DIR", folder.display().to_string()),
        ]);
        variables.extend(queue.map(|queue| ("DRAINHOOK_QUEUE__URL", self.service.queue_url(&queue))));
        variables.extend(self.scale.map(|scale| ("DRAINHOOK_SIMULATION__CLOCK", scale.into())));
        variables
    }

    /// Starts the daemon of the first instance, and waits until it is up.
    pub async fn daemon(&self) -> Daemon {
        self.daemon_with(&[]).await
    }

    /// Starts the daemon of the first instance with more settings, and waits until it is up.
    pub async fn daemon_with(&self, settings: &[(&'static str, &str)]) -> Daemon {
        let mut variables = self.variables(&self.instance());
        variables.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Daemon::start(&variables).await
    }

    /// Makes Auto Scaling launch another instance, and waits until its services listen. Returns its id.
    pub async fn launch(&self) -> String {
        let before = self.instances();
        let capacity = u32::try_from(before.len()).expect("a small group") + 1;
        let ordered = self.service.world(|world, now| {
            let group = world.config().group.clone();
            world.set_desired_capacity(now, &group, capacity)
        });
        ordered.expect("within the group's sizes");
        let launched =
            self.instances().into_iter().find(|id| !before.contains(id)).expect("launched at once");
        eventually("the instance's services", || self.service.endpoints(&launched).is_some()).await;
        launched
    }

    /// Makes Auto Scaling terminate the first instance.
    pub fn scale_in(&self) {
        let instance = self.instance();
        let ordered = self.service.world(|world, now| world.terminate_instance(now, &instance, true));
        ordered.expect("it is in service");
    }

    /// The ARN of the first target group.
    pub fn target_group(&self) -> String {
        self.service.world(|world, _| world.target_groups().swap_remove(0).arn)
    }

    /// Whether the first instance is a target of the first target group.
    pub fn is_target(&self) -> bool {
        let (group, id) = (self.target_group(), self.instance());
        let target = TargetRef { id, port: None };
        let found = self.service.world(|world, now| world.describe_targets(now, &group, &[target]));
        matches!(found.expect("it exists")[0].health, Health::Initial | Health::Healthy)
    }

    /// Waits until something has happened, at any time.
    pub async fn until(&mut self, what: &str, found: impl Fn(&Happening) -> bool) {
        self.until_times(1, what, found).await;
    }

    /// Waits until something has happened this many times.
    pub async fn until_times(&mut self, times: usize, what: &str, found: impl Fn(&Happening) -> bool) {
        let limit = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.changed.borrow_and_update();
            self.catch_up();
            if self.count(&found) >= times {
                return;
            }
            if tokio::time::timeout_at(limit, self.changed.changed()).await.is_err() {
                panic!("timed out waiting for {what}; so far: {:#?}", self.history);
            }
        }
    }

    /// How many times something has happened so far.
    pub fn count(&mut self, found: impl Fn(&Happening) -> bool) -> usize {
        self.catch_up();
        self.history.iter().filter(|(_, happening)| found(happening)).count()
    }

    fn catch_up(&mut self) {
        self.history.extend(self.service.world(|world, _| world.take_happenings()));
    }

    /// The deadlines that the agents were told, in order.
    pub fn deadlines(&mut self) -> Vec<Time> {
        self.catch_up();
        let told = self.history.iter().filter_map(|(_, happening)| match happening {
            Happening::AgentDrainRequested { deadline, .. } => *deadline,
            _ => None,
        });
        told.collect()
    }

    /// Waits for the end of a drain without losses: one completion per action, the message deleted, no invariant
    /// violated. Daemons were restarted at `restarts`.
    pub async fn until_ended_well(&mut self, restarts: &[Time]) {
        let instances = self.service.world(|world, _| world.config().instances) as usize;
        self.until_times(instances, "the end", |one| matches!(one, Happening::InstanceTerminated { .. }))
            .await;
        let queue = self.service.world(|world, _| world.config().queue.is_some());
        if queue {
            self.until_times(instances, "the end of the messages", message_deleted).await;
        }
        let lost: u32 = self.history.iter().map(|(_, one)| work_lost(one)).sum();
        assert_eq!(lost, 0, "work was lost: {:#?}", self.history);
        assert_eq!(self.count(completed), instances, "{:#?}", self.history);
        self.violates_nothing(restarts);
    }

    /// Asserts that the history violates no invariant. Daemons were restarted at `restarts`.
    pub fn violates_nothing(&mut self, restarts: &[Time]) {
        self.catch_up();
        let mut invariants = Invariants::default();
        let mut restarts = restarts.iter().peekable();
        for (at, happening) in &self.history {
            while let Some(restart) = restarts.next_if(|restart| *restart <= at) {
                invariants.restarted(*restart);
            }
            invariants.observe(*at, happening);
        }
        assert!(invariants.violations.is_empty(), "{:#?}\n{:#?}", invariants.violations, self.history);
    }
}

fn work_lost(happening: &Happening) -> u32 {
    match happening {
        Happening::InstanceTerminated { work_lost, .. } => *work_lost,
        _ => 0,
    }
}

pub fn told(happening: &Happening) -> bool {
    matches!(happening, Happening::AgentDrainRequested { .. })
}

pub fn worked(happening: &Happening) -> bool {
    matches!(happening, Happening::WorkFinished { .. })
}

pub fn drained(happening: &Happening) -> bool {
    matches!(happening, Happening::AgentDrained { .. })
}

pub fn completed(happening: &Happening) -> bool {
    matches!(happening, Happening::Completed { .. })
}

pub fn message_deleted(happening: &Happening) -> bool {
    matches!(happening, Happening::MessageDeleted { .. })
}

/// `drainhook run`. Dropping this kills it, and prints its log if the test has failed.
pub struct Daemon {
    child: Child,
    log: Arc<watch::Sender<String>>,
    control: PathBuf,
    notify: UnixDatagram,
    _notify_folder: tempfile::TempDir,
    /// All notifications to the service manager so far.
    pub told: Vec<String>,
}

impl Daemon {
    /// Starts the daemon, and waits until it has identified the instance.
    pub async fn start(variables: &Variables) -> Self {
        let mut daemon = Daemon::spawn(variables);
        daemon.told("STATUS=").await;
        daemon
    }

    /// Starts the daemon without waiting.
    pub fn spawn(variables: &Variables) -> Self {
        Self::spawn_as(Command::new(env!("CARGO_BIN_EXE_drainhook")).arg("run"), variables)
    }

    /// Starts the daemon with another command line.
    pub fn spawn_as(command: &mut Command, variables: &Variables) -> Self {
        let mut daemon = Self::spawn_unread(command.stderr(Stdio::piped()), variables);
        let mut lines = BufReader::new(daemon.child.stderr.take().expect("piped")).lines();
        let growing = Arc::clone(&daemon.log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                growing.send_modify(|log| *log = format!("{log}{line}\n"));
            }
        });
        daemon
    }

    /// Starts the daemon without reading its standard error, which goes where the command sends it.
    pub fn spawn_unread(command: &mut Command, variables: &Variables) -> Self {
        let notify_folder = tempfile::tempdir().expect("a folder");
        let notify_path = notify_folder.path().join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path).expect("a fresh path");
        let child = command
            .env_clear()
            // Keeps the developer's own AWS configuration out.
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("NOTIFY_SOCKET", &notify_path)
            .env("DRAINHOOK_LOG__LEVEL", "debug")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let log = Arc::new(watch::Sender::new(String::new()));
        let control = variables.get("DRAINHOOK_CONTROL__SOCKET").map(PathBuf::from).unwrap_or_default();
        Daemon { child, log, control, notify, _notify_folder: notify_folder, told: Vec::new() }
    }

    /// Waits for the next notification to the service manager that starts with `start`.
    pub async fn told(&mut self, start: &str) -> String {
        let next = async {
            let mut datagram = [0; 1024];
            loop {
                let length = self.notify.recv(&mut datagram).await.expect("a datagram");
                let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                self.told.push(text.clone());
                if text.starts_with(start) {
                    return text;
                }
            }
        };
        in_time(start, next).await
    }

    /// Waits until the daemon has identified the instance; `Some` if it exits first.
    pub async fn end_before_it_is_up(&mut self) -> Option<ExitStatus> {
        let mut datagram = [0; 1024];
        loop {
            tokio::select! {
                end = self.child.wait() => return Some(end.expect("it is ours")),
                length = self.notify.recv(&mut datagram) => {
                    if datagram[..length.expect("a datagram")].starts_with(b"STATUS=") {
                        return None;
                    }
                }
            }
        }
    }

    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the log has a line with all of these words.
    pub async fn logged(&self, words: &[&str]) {
        in_time(&format!("{words:?} in the log"), self.logged_some_time(words)).await;
    }

    /// As above, without a time limit, for callers with a limit of their own.
    pub async fn logged_some_time(&self, words: &[&str]) {
        let mut log = self.log.subscribe();
        let has = |log: &String| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        log.wait_for(has).await.expect("the log continues");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id().expect("it runs");
        let pid = rustix::process::Pid::from_raw(id.cast_signed()).expect("not 0");
        rustix::process::kill_process(pid, signal).expect("it is ours");
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is ours");
    }

    /// Waits until the process exits.
    pub async fn exit(&mut self) -> ExitStatus {
        in_time("its end", self.end()).await
    }

    /// As above, without a time limit, for callers with a limit of their own.
    pub async fn end(&mut self) -> ExitStatus {
        self.child.wait().await.expect("it is ours")
    }

    /// The peak resident memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Whether the process is still running.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_none()
    }

    pub async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.control).await.expect("it listens")
    }

    /// Sends bytes to the control socket, and reads until the daemon closes it.
    pub async fn converse(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.expect("taken");
        stream.shutdown().await.expect("half-closed");
        let mut answer = String::new();
        in_time("an answer", stream.read_to_string(&mut answer)).await.expect("answered");
        answer
    }

    /// Sends one request to the control socket.
    pub async fn ask(&self, request: &str) -> Answer {
        let answer = self.converse(format!("{request}\n").as_bytes()).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    /// Sends a command, and returns the daemon's description of what it did.
    pub async fn order(&self, request: &str) -> String {
        match self.ask(request).await {
            Answer::Done(what) => what,
            other @ (Answer::Status(_) | Answer::Refused(_)) => panic!("{request}: {other:?}"),
        }
    }

    /// Polls the status until `holds`.
    pub async fn until_status(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        in_time(what, async {
            loop {
                let status = self.status().await;
                if holds(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    pub async fn status(&self) -> Status {
        match self.ask(r#"{"command":"status"}"#).await {
            Answer::Status(status) => *status,
            other @ (Answer::Done(_) | Answer::Refused(_)) => panic!("{other:?}"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of the daemon {:?}:\n{}", self.child.id(), self.log());
        }
    }
}

/// The path of the journal, by the daemon's variables.
pub fn journal(variables: &Variables) -> PathBuf {
    Path::new(&variables["DRAINHOOK_JOURNAL__DIR"]).join("journal.json")
}

/// The journal of another instance, left in an image. It has an operator's notice, so a daemon that trusted it would drain at
/// once.
pub fn journal_of_an_image() -> Journal {
    Journal {
        version: VERSION,
        instance_id: "i-00000000000000bad".to_owned(),
        boot_id: None,
        booted_at: None,
        served: true,
        agents: Vec::new(),
        targets: Vec::new(),
        notices: [Notice::new(Source::Operator, Reason::Operator, "", Time::default())].into_iter().collect(),
        drain: None,
        launch: LaunchStage::None,
        pooled: false,
        protection: machine::protection::Protection::Unknown,
        finished: Vec::new(),
    }
}

/// The journal that a daemon wrote for this instance, if any.
pub fn written(variables: &Variables, instance: &str) -> Option<Journal> {
    let journal =
        JournalFile::peek(variables["DRAINHOOK_JOURNAL__DIR"].as_ref()).expect("a journal that can be read");
    journal.inspect(|journal| assert_eq!(journal.instance_id, instance))
}
