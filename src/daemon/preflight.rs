//! Looks at the agents when a drain begins, and logs what is known to lose work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;

/// Problems that were found, one sentence each.
pub type Findings = Pin<Box<dyn Future<Output = Vec<String>> + Send>>;

/// How long after the start of a drain the agents are looked at, so that this does not delay telling them.
const AFTER: Duration = Duration::from_secs(1);

/// Looks for what is known to lose work.
#[derive(Debug, Clone)]
pub struct Preflight {
    config: Arc<Config>,
    look: fn(Arc<Config>) -> Findings,
}

impl Preflight {
    /// Will look at the agents of this configuration in this way.
    pub fn new(config: Arc<Config>, look: fn(Arc<Config>) -> Findings) -> Self {
        Preflight { config, look }
    }

    /// Looks, and logs what was found. The drain does not wait for it.
    pub fn start(&self, drain_id: Option<String>) {
        let Preflight { config, look } = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(AFTER).await;
            for problem in look(config).await {
                let drain_id = drain_id.as_deref();
                tracing::error!(event = "unit_loses_work", drain_id, "this drain may lose work: {problem}");
            }
        });
    }
}
