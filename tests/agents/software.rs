//! The software. The files in the folder of each say how to set it up, and why.

use crate::story;

/// A software, and how to give it work.
pub struct Software {
    /// The folder of its files. In the machine it is below `/opt`.
    pub name: &'static str,
    /// Its unit: in the folder, or Debian's with the folder's `drop-in.conf`.
    pub unit: &'static str,
    /// Files that belong elsewhere, with their paths.
    pub files: &'static [(&'static str, &'static str)],
    /// Scripts that run before the unit starts.
    pub before: &'static [&'static str],
    pub work: Work,
    /// How many items of work it takes at once.
    pub takes: usize,
    /// What `drainhook check` says about the setting that loses work.
    pub refusal: &'static str,
}

/// How work reaches it.
pub enum Work {
    /// A command queues as many items as its last argument says. The software logs a line with these words when it takes
    /// no more items.
    Queue { enqueue: &'static str, closed: &'static str },
    /// A client for each item. This command ends when its item has been served. Its last argument is the item's number.
    Clients(&'static str),
}

/// Queues items with the function `enqueue` of `tasks.py`.
const PYTHON: &str = "/opt/python/bin/python task.py";
const ARQ: &str = "/opt/arq/bin/python task.py";
const RUBY: &str = "ruby -r ./worker.rb -e 'ARGV[0].to_i.times { |number| Work.perform_async(number) }'";

/// Builds an image, and creates a container of it.
const IMAGE: &str =
    "cp /bin/busybox /opt/docker-container && docker build --network none --tag worker /opt/docker-container";
const CONTAINER: &str = "docker create --name worker --network none --volume /srv/tasks:/srv/tasks worker";

/// A page that is longer than the buffers between a server and its client.
const DOWNLOAD: &str = "(echo started; head -c 32M /dev/zero; echo; echo finished) >/srv/tasks/download";
const PAGE: Work = Work::Clients("/opt/request http://127.0.0.1:8000/");

/// A worker with a unit of its own, which takes its tasks from Redis.
const fn worker(
    name: &'static str,
    unit: &'static str,
    enqueue: &'static str,
    closed: &'static str,
    refusal: &'static str,
) -> Software {
    Software {
        name,
        unit,
        files: &[],
        before: &["systemctl start redis-server"],
        work: Work::Queue { enqueue, closed },
        takes: 2,
        refusal,
    }
}

/// A server with a unit of its own, which serves a page.
const fn server(name: &'static str, unit: &'static str, refusal: &'static str) -> Software {
    Software { name, unit, files: &[], before: &[], work: PAGE, takes: 2, refusal }
}

macro_rules! tests {
    ($($name:ident: $software:expr;)*) => {$(
        mod $name {
            use super::*;

            const SOFTWARE: Software = $software;

            #[tokio::test]
            #[ignore = "needs a Debian root: tests/agents/run"]
            async fn drains() {
                story::drains(&SOFTWARE).await;
            }

            #[tokio::test]
            #[ignore = "needs a Debian root: tests/agents/run"]
            async fn killer() {
                story::killer(&SOFTWARE).await;
            }
        }
    )*};
}

tests! {
    arq: worker("arq", "arq.service", ARQ, "shutdown on SIGTERM", "systemd kills it 2s after the stop (TimeoutStopSec)");
    bullmq: worker("bullmq", "bullmq.service", "node enqueue.js", "closing", "KillSignal=SIGINT, and the preset bullmq needs SIGTERM");
    celery: worker("celery", "celery.service", PYTHON, "Warm shutdown", "KillMode=control-group, and the preset celery needs mixed");
    dask_worker: Software {
        files: &[
            ("dask-scheduler.service", "/etc/systemd/system/dask-scheduler.service"),
            ("dask-worker-drain.service", "/etc/systemd/system/dask-worker-drain.service"),
        ],
        before: &["systemctl start dask-scheduler"],
        // The worker runs a function of the helper once it has been retired.
        ..worker("dask-worker", "dask-worker.service", PYTHON, "Run out-of-band function", "a stop cuts the running tasks")
    };
    docker_container: Software {
        files: &[
            ("group.conf", "/etc/systemd/system/drainhook.service.d/docker.conf"),
            ("options", "/etc/default/docker"),
        ],
        before: &["systemctl start docker", IMAGE, CONTAINER],
        takes: 1,
        ..worker("docker-container", "worker.service", "./enqueue", "taking no more tasks", "docker -t cuts work after 1s")
    };
    dramatiq: worker("dramatiq", "dramatiq.service", PYTHON, "Shutting down", "--worker-shutdown-timeout cuts work after 1s");
    gunicorn: server("gunicorn", "gunicorn.service", "KillSignal=SIGQUIT, and the preset gunicorn needs SIGTERM");
    haproxy: Software {
        files: &[
            ("haproxy.cfg", "/etc/haproxy/haproxy.cfg"),
            ("../nginx/downloads.conf", "/etc/nginx/conf.d/downloads.conf"),
        ],
        before: &[DOWNLOAD, "systemctl start nginx"],
        work: Work::Clients("/opt/request http://127.0.0.1:8001/download"),
        ..server("haproxy", "haproxy.service", "KillSignal=SIGTERM, and the preset haproxy needs SIGUSR1")
    };
    huey: worker("huey", "huey.service", PYTHON, "Received SIGINT", "KillSignal=SIGTERM, and the preset huey needs SIGINT");
    nginx: Software {
        files: &[("downloads.conf", "/etc/nginx/conf.d/downloads.conf")],
        before: &[DOWNLOAD],
        work: Work::Clients("/opt/request http://127.0.0.1:8000/download"),
        ..server("nginx", "nginx.service", "systemd kills it 5s after the stop (TimeoutStopSec)")
    };
    pgbouncer: Software {
        files: &[("pgbouncer.ini", "/etc/pgbouncer/pgbouncer.ini")],
        before: &["systemctl start postgresql@15-main"],
        work: Work::Clients("/opt/pgbouncer/transaction"),
        ..server("pgbouncer", "pgbouncer.service", "KillSignal=SIGTERM, and the preset pgbouncer needs SIGINT")
    };
    php_fpm: Software {
        files: &[
            ("drain.conf", "/etc/php/8.2/fpm/pool.d/drain.conf"),
            ("nginx.conf", "/etc/nginx/conf.d/php.conf"),
        ],
        before: &["systemctl start nginx"],
        ..server("php-fpm", "php8.2-fpm.service", "KillSignal=SIGTERM, and the preset php-fpm needs SIGQUIT")
    };
    puma: server("puma", "puma.service", "systemd kills it 2s after the stop (TimeoutStopSec)");
    rq: Software { takes: 1, ..worker("rq", "rq.service", PYTHON, "warm shut down requested", "KillMode=control-group, and the preset rq needs mixed") };
    selenium_node: Software {
        files: &[("selenium-hub.service", "/etc/systemd/system/selenium-hub.service")],
        before: &["systemctl start selenium-hub"],
        work: Work::Clients("/opt/selenium-node/session"),
        ..server("selenium-node", "selenium-node.service", "a stop ends the open sessions")
    };
    sidekiq: worker("sidekiq", "sidekiq.service", RUBY, "Shutting down", "sidekiq --timeout cuts work after 1s");
    uvicorn: server("uvicorn", "uvicorn.service", "systemd kills it 2s after the stop (TimeoutStopSec)");
}

/// What a user tries first, with a real worker on their own machine.
#[tokio::test]
#[ignore = "needs a Debian root: tests/agents/run"]
async fn drill() {
    story::drill(&worker("celery", "celery.service", PYTHON, "Warm shutdown", "")).await;
}
