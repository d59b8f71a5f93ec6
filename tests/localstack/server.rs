//! A LocalStack for one test, which the test may kill.

use std::process::Stdio;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::config::Credentials;
use drainhook::aws::clients::http_client;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::cloud::Cloud;
use crate::support::daemon::in_time;

/// Names the variable with the path of a Python that has LocalStack. `tests/localstack/run` sets it.
const PYTHON: &str = "LOCALSTACK_PYTHON";

/// A server process. Dropping it kills it.
pub struct Server {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        Server::start_at(port).await
    }

    /// Starts a server on the port of an earlier one, without its state.
    pub async fn start_at(port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let python = std::env::var(PYTHON).expect("tests/localstack/run sets it");
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/localstack/serve"))
            .args([python.as_ref(), port.to_string().as_ref(), folder.path().as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("tests/localstack/serve starts");
        let server = Server { child, port, _folder: folder };
        let health = format!("{}/_localstack/health", server.url());
        in_time("LocalStack", async {
            while reqwest::get(&health).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        server
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Clients for this server.
    pub async fn cloud(&self) -> Cloud {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
        let loader = loader.region(Region::new("eu-west-1")).endpoint_url(self.url());
        let credentials = Credentials::new("test", "test", None, None, "tests");
        Cloud::of(loader.credentials_provider(credentials).load().await)
    }

    /// Kills the server with SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("LocalStack is a child process");
    }
}
