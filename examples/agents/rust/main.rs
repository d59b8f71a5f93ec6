//! A queue worker: takes tasks from an SQS queue, several at a time, and loses none when its instance is terminated.
//!
//! - `drain`: the agent protocol of drainhook. Copy this file.
//! - `worker`: receives tasks, keeps them hidden, works on them, and deletes them or gives them back.
//! - `checkpoint`: the progress of tasks, for the next worker.
//!
//! Run it with `WORK_QUEUE_URL=… CHECKPOINT_DIR=/tmp/worker cargo run --example worker`. `worker::Settings` lists all
//! variables.

mod checkpoint;
mod drain;
mod worker;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use drain::Drain;
use worker::{Settings, Worker};

/// Limit for a call. A drain waits for a receive, so a receive must end. The longest takes 20 s.
const CALL_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    let stop_limit = settings.stop_limit;
    let drain = Drain::default();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);

    let listener = TcpListener::bind(("127.0.0.1", settings.port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(drain::serve(listener, drain.clone()));

    let http = aws_smithy_http_client::Builder::new();
    let http = http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let limits = TimeoutConfig::builder().operation_attempt_timeout(CALL_LIMIT).build();
    let aws = aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(limits);
    let aws = aws.load().await;
    let worker = Worker::new(settings, aws_sdk_sqs::Client::new(&aws), drain.clone())?;
    // In its own task, because dropping a receive that is under way would lose its messages.
    tokio::spawn(Arc::new(worker).receive_forever());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    eprintln!("stopping within {stop_limit:?}");
    drain.stop(stop_limit).await;
    Ok(())
}
