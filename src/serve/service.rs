//! Starts, drives and stops a world that is served on loopback.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use machine::Time;
use sim::world::{AgentMode, ImdsMode, InstanceView, World, WorldConfig};

use super::{agent, aws, http, imds};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The addresses that a service listens on. Port 0, the default, means any free port.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Auto Scaling, SQS and STS.
    pub aws: SocketAddr,
    /// The metadata service of the first instance. Other instances use free ports of the same host.
    pub imds: SocketAddr,
    /// The agent of the first instance. Other instances use free ports of the same host.
    pub agent: SocketAddr,
}

impl Default for Addresses {
    fn default() -> Self {
        Addresses { aws: LOOPBACK, imds: LOOPBACK, agent: LOOPBACK }
    }
}

/// The URLs of an instance's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The metadata service, for `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub imds: String,
    /// The agent's URL.
    pub agent: String,
}

/// A world that is being served. Dropping it stops everything.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What every connection shares.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    endpoints: Mutex<BTreeMap<String, Endpoints>>,
    changed: watch::Sender<u64>,
    pub(super) clock: Clock,
    pub(super) aws_url: String,
}

impl Service {
    /// Creates a world at the clock's time and serves it. Everything is listening when this returns.
    pub async fn start(config: WorldConfig, clock: Clock, addresses: Addresses) -> io::Result<Self> {
        let listener = bind(addresses.aws)?.listen(BACKLOG)?;
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(config, clock.now())),
            endpoints: Mutex::default(),
            changed: watch::Sender::new(0),
            clock,
            aws_url: format!("http://{}", listener.local_addr()?),
        });
        let mut listeners = Listeners::new(Arc::clone(&shared), addresses);
        listeners.reconcile().await?;
        let mut tasks = JoinSet::new();
        let handler = Arc::clone(&shared);
        tasks.spawn(http::serve(listener, move |request| aws::answer(Arc::clone(&handler), request)));
        tasks.spawn(drive(Arc::clone(&shared), listeners));
        Ok(Service { shared, tasks })
    }

    /// The URL for `AWS_ENDPOINT_URL`.
    pub fn aws_url(&self) -> &str {
        &self.shared.aws_url
    }

    /// The URL of a queue.
    pub fn queue_url(&self, queue: &str) -> String {
        self.shared.queue_url(queue)
    }

    /// The URLs of an instance's services; `None` until they listen.
    pub fn endpoints(&self, instance: &str) -> Option<Endpoints> {
        self.shared.endpoints().get(instance).cloned()
    }

    /// The instances that are not Terminated, in launch order.
    pub fn instances(&self) -> Vec<InstanceView> {
        self.world(|world, _| world.instances())
    }

    /// Calls `visit` with the world and the current time. The world is first advanced to that time.
    pub fn world<T>(&self, visit: impl FnOnce(&mut World, Time) -> T) -> T {
        self.shared.with(visit)
    }

    /// Notifies of changes to the world. The value is [`World::version`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// The world's clock.
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Closes every listener and connection, and waits until they are closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    /// Advances the world to now, calls `visit`, and notifies the subscribers if the world changed.
    pub(super) fn with<T>(&self, visit: impl FnOnce(&mut World, Time) -> T) -> T {
        // The world can still be inspected after `visit` has panicked.
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        world.advance(now);
        let result = visit(&mut world, now);
        let version = world.version();
        drop(world);
        self.changed.send_if_modified(|seen| std::mem::replace(seen, version) != version);
        result
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn queue_url(&self, queue: &str) -> String {
        let account = self.with(|world, _| world.config().account.clone());
        format!("{}/{account}/{queue}", self.aws_url)
    }

    pub(super) fn endpoints(&self) -> MutexGuard<'_, BTreeMap<String, Endpoints>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Advances the world when its next change is due, and opens and closes the instances' listeners.
async fn drive(shared: Arc<Shared>, mut listeners: Listeners) {
    let mut changed = shared.subscribe();
    loop {
        changed.borrow_and_update();
        if let Err(error) = listeners.reconcile().await {
            tracing::error!(%error, "an instance of the simulation cannot listen: {error}");
        }
        let next = shared.with(|world, _| world.next_wake());
        let due = async {
            match next {
                Some(time) => shared.clock.sleep_until(time).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            _ = changed.changed() => {}
        }
    }
}

/// The listeners of all instances.
struct Listeners {
    shared: Arc<Shared>,
    addresses: Addresses,
    seen: Option<u64>,
    open: BTreeMap<String, Open>,
}

/// The listeners of one instance. Dropping a listener's tasks closes it.
#[derive(Default)]
struct Open {
    imds: Listener,
    agent: Listener,
}

#[derive(Default)]
struct Listener {
    /// The first address that it listened on, which it keeps.
    address: Option<SocketAddr>,
    state: Listening,
}

/// The state of a listener.
#[derive(Default)]
enum Listening {
    /// It has no address yet.
    #[default]
    Unbound,
    /// It refuses connections. The bound socket reserves the port.
    Closed(TcpSocket),
    /// It listens.
    Open(JoinSet<()>),
}

impl Listeners {
    fn new(shared: Arc<Shared>, addresses: Addresses) -> Self {
        Listeners { shared, addresses, seen: None, open: BTreeMap::new() }
    }

    /// Opens and closes listeners to match the world.
    async fn reconcile(&mut self) -> io::Result<()> {
        let seen = self.seen;
        let fresh = self.shared.with(|world, _| {
            let version = world.roster_version();
            (seen != Some(version)).then(|| (version, world.instances()))
        });
        let Some((version, instances)) = fresh else { return Ok(()) };
        self.open.retain(|id, _| instances.iter().any(|instance| instance.id == *id));
        for instance in &instances {
            self.reconcile_instance(instance).await?;
        }
        self.seen = Some(version);
        Ok(())
    }

    async fn reconcile_instance(&mut self, instance: &InstanceView) -> io::Result<()> {
        let id = &instance.id;
        let first = Addresses { ..self.addresses };
        if !self.open.contains_key(id) {
            // Only the first instance gets the requested ports.
            self.addresses.imds.set_port(0);
            self.addresses.agent.set_port(0);
        }
        let open = self.open.entry(id.clone()).or_default();
        let (shared, name) = (Arc::clone(&self.shared), id.clone());
        let imds = open
            .imds
            .set(first.imds, instance.imds_mode != ImdsMode::Refuses, move |request| {
                imds::answer(Arc::clone(&shared), name.clone(), request)
            })
            .await?;
        let (shared, name) = (Arc::clone(&self.shared), id.clone());
        let agent = open
            .agent
            .set(first.agent, instance.agent.mode != AgentMode::Refuses, move |request| {
                agent::answer(Arc::clone(&shared), name.clone(), request)
            })
            .await?;
        let endpoints = Endpoints { imds: format!("http://{imds}"), agent: format!("http://{agent}") };
        self.shared.endpoints().insert(id.clone(), endpoints);
        Ok(())
    }
}

impl Listener {
    /// Opens or closes the listener. Returns its address.
    async fn set<H, F>(&mut self, wanted: SocketAddr, open: bool, handler: H) -> io::Result<SocketAddr>
    where
        H: Fn(http::Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = http::Answer> + Send + 'static,
    {
        let address = self.address.unwrap_or(wanted);
        let socket = match (std::mem::take(&mut self.state), open) {
            (state @ Listening::Open(_), true) | (state @ Listening::Closed(_), false) => {
                self.state = state;
                return Ok(address);
            }
            (Listening::Closed(socket), true) => socket,
            (Listening::Open(mut task), false) => {
                // Waits until the socket is closed, so that the address can be bound again.
                task.shutdown().await;
                bind(address)?
            }
            (Listening::Unbound, _) => bind(address)?,
        };
        let address = socket.local_addr()?;
        self.address = Some(address);
        self.state = if open {
            let listener = socket.listen(BACKLOG)?;
            let mut task = JoinSet::new();
            task.spawn(http::serve(listener, handler));
            Listening::Open(task)
        } else {
            Listening::Closed(socket)
        };
        Ok(address)
    }
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As TcpListener does: recently closed connections do not block the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}
