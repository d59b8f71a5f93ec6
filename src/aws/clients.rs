//! The SDK's clients, with credentials, Region and endpoints, and how long they are kept.
//!
//! They are created at the first call, because an idle instance does not need them. The TLS roots are read for the first
//! https request. Nothing here retries or limits a whole call: the machine retries, and `daemon::perform` sets the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::config::{ProvideCredentials, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::Mutex;

pub use super::connector::RESPONSE_MAX;
use super::connector::{self, Ways};
use super::error::unsent;
use super::queue_url::{Endpoint, Kind};
use super::{queue_url, roots};
use crate::http::causes;
use machine::event::{CallError, CallErrorKind};

/// Time limit for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The longest name of a Region, in bytes: the longest label of a host name.
const REGION_MAX: usize = 63;

/// The configuration's settings for AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Hosts that may be called over plain HTTP, besides loopback and link-local addresses.
    pub allow_http: Vec<String>,
    /// The termination queue's URL. It gives the endpoint and the Region for SQS.
    pub queue_url: Option<String>,
    /// Whether Elastic Load Balancing is called.
    pub target_groups: bool,
}

/// How long new clients may take to find credentials before the old clients are used instead.
const REPLACE_LIMIT: Duration = Duration::from_secs(3);

/// The clients, created at the first call. They are replaced after AWS has refused their credentials (a credentials file may
/// have been rewritten) and after each drain (the next may be days later).
#[derive(Debug)]
pub struct KeptClients {
    settings: Settings,
    kept: Mutex<Option<Kept>>,
    drains: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    clients: Arc<Clients>,
    /// AWS refused their credentials.
    refused: bool,
    /// How many drains had ended when they were created.
    drains: u64,
}

impl KeptClients {
    /// Creates no client yet.
    pub fn new(settings: Settings) -> Self {
        KeptClients { settings, kept: Mutex::default(), drains: AtomicU64::new(0) }
    }

    /// Makes one call. The SDK's futures are up to 12 KiB large, so they are boxed to keep every effect's future small.
    pub async fn call<T, F>(&self, call: impl FnOnce(Arc<Clients>) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let clients = Box::pin(self.clients()).await?;
        let result = Box::pin(call(Arc::clone(&clients))).await;
        if let Err(CallError { kind: CallErrorKind::Credentials, .. }) = &result {
            let mut kept = self.kept.lock().await;
            // Concurrent calls are refused together, and an earlier one may already have replaced these clients.
            if let Some(kept) = kept.as_mut().filter(|kept| Arc::ptr_eq(&kept.clients, &clients)) {
                kept.refused = true;
            }
        }
        result
    }

    /// Records that a drain ended, so that the next call gets new clients.
    pub fn drain_ended(&self) {
        self.drains.fetch_add(1, Ordering::Relaxed);
    }

    async fn clients(&self) -> Result<Arc<Clients>, CallError> {
        let drains = self.drains.load(Ordering::Relaxed);
        let mut kept = self.kept.lock().await;
        let clients = match &*kept {
            Some(kept) if !kept.refused && kept.drains == drains => return Ok(Arc::clone(&kept.clients)),
            // While IMDS is silent, old credentials are better than none.
            Some(old) => match tokio::time::timeout(REPLACE_LIMIT, self.with_credentials()).await {
                Ok(Some(clients)) => clients,
                Ok(None) | Err(_) => return Ok(Arc::clone(&old.clients)),
            },
            None => Clients::connect(&self.settings).await?,
        };
        let clients = Arc::new(clients);
        *kept = Some(Kept { clients: Arc::clone(&clients), refused: false, drains });
        Ok(clients)
    }

    /// Creates new clients; `None` if they find no credentials.
    async fn with_credentials(&self) -> Option<Clients> {
        let clients = Clients::connect(&self.settings).await.ok()?;
        clients.access_key_id().await.is_ok().then_some(clients)
    }
}

/// Whether a text can be part of a service's host name.
fn is_region(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=REGION_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// The clients of the services that drainhook calls.
#[derive(Debug, Clone)]
pub struct Clients {
    config: SdkConfig,
    pub(super) autoscaling: aws_sdk_autoscaling::Client,
    /// Only if target groups are configured.
    #[cfg(feature = "target-groups")]
    pub(super) elb: Option<super::elb::Client>,
    pub(super) sqs: aws_sdk_sqs::Client,
}

impl Clients {
    /// Finds the Region, the endpoints and the source of credentials as the AWS SDKs do. May ask IMDS for the Region.
    ///
    /// A missing Region is an error, because no call can be sent without one. The next call tries again.
    pub async fn connect(settings: &Settings) -> Result<Self, CallError> {
        let ways = Ways::from_env(&settings.allow_http);
        let config = sdk_config(connector::http_client(Arc::clone(&ways))).await;
        // The SDK itself does not read these settings.
        ways.trust(roots::bundle(setting(&config, "SQS", "AWS_CA_BUNDLE", "ca_bundle")));
        match config.region().map(AsRef::as_ref) {
            Some(region) if is_region(region) => Ok(Clients::from_config(config, settings)),
            Some(region) => Err(unsent(format!(
                "{region:?} is not an AWS Region; expected one such as eu-west-1: check AWS_REGION"
            ))),
            None => {
                Err(unsent("no AWS Region was found: neither AWS_REGION nor IMDS names one; set AWS_REGION"))
            }
        }
    }

    /// Clients for an existing configuration. Its HTTP client should be [`http_client`].
    pub fn from_config(config: SdkConfig, settings: &Settings) -> Self {
        let autoscaling = aws_sdk_autoscaling::Client::from_conf(autoscaling_config(&config));
        let sqs = aws_sdk_sqs::Client::from_conf(sqs_config(&config, settings.queue_url.as_deref()));
        #[cfg(feature = "target-groups")]
        let elb = settings.target_groups.then(|| super::elb::client(&config));
        Clients {
            config,
            autoscaling,
            #[cfg(feature = "target-groups")]
            elb,
            sqs,
        }
    }

    /// The id of the access key that calls are signed with, or why it is missing. Never returns the secret.
    pub async fn access_key_id(&self) -> Result<String, String> {
        let provider = self.config.credentials_provider().ok_or("no source of credentials is configured")?;
        let found = provider.provide_credentials().await;
        found.map(|found| found.access_key_id().to_owned()).map_err(|error| causes(&error))
    }

    /// The Region of the calls, if one was found.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }
}

/// The SDK's configuration from the environment, the profile and IMDS. Every request goes through this HTTP client.
pub async fn sdk_config(http_client: SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).build())
        // `daemon::perform` limits whole calls, stalls included.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Ok(name) = AppName::new("drainhook") {
        loader = loader.app_name(name);
    }
    loader.load().await
}

/// The SDK for Rust reads the profile's endpoint for Auto Scaling under `auto-scaling`. AWS documents `auto_scaling`, which the
/// other SDKs read (SDKs and tools reference guide, "Service-specific endpoints").
fn autoscaling_config(config: &SdkConfig) -> aws_sdk_autoscaling::Config {
    let mut builder = aws_sdk_autoscaling::config::Builder::from(config);
    if let Some(endpoint) = setting(config, "auto_scaling", "AWS_ENDPOINT_URL", "endpoint_url") {
        builder.set_endpoint_url(Some(endpoint));
    }
    builder.build()
}

/// Takes the Region and, unless an endpoint is configured for SQS, the host from the queue's URL, as the SDK for JavaScript
/// does.
fn sqs_config(config: &SdkConfig, queue_url: Option<&str>) -> aws_sdk_sqs::Config {
    let mut builder = aws_sdk_sqs::config::Builder::from(config);
    let place = queue_url.map(queue_url::place).unwrap_or_default();
    if let Some(region) = place.region {
        builder.set_region(Some(Region::new(region)));
    }
    let configured = setting(config, "SQS", "AWS_ENDPOINT_URL", "endpoint_url")
        .or_else(|| config.endpoint_url().map(str::to_owned));
    match place.endpoint {
        _ if configured.is_some() => {}
        Endpoint::Public(Kind { fips, dual_stack }) => {
            let (fips, dual_stack) = (
                fips || config.use_fips() == Some(true),
                dual_stack || config.use_dual_stack() == Some(true),
            );
            builder.set_use_fips(Some(fips)).set_use_dual_stack(Some(dual_stack));
        }
        Endpoint::Own(endpoint) => {
            builder.set_endpoint_url(Some(endpoint));
            // The SDK rejects both together with an endpoint.
            builder.set_use_fips(Some(false)).set_use_dual_stack(Some(false));
        }
    }
    builder.build()
}

/// A setting for this service or for every service, from a variable or the profile, as the SDK finds it.
pub(super) fn setting(config: &SdkConfig, service: &str, variable: &str, key: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env(variable).profile(key).build().ok()?;
    config.service_config()?.load_config(key)
}

/// The HTTP client that [`Clients::connect`] uses.
pub fn http_client() -> SharedHttpClient {
    connector::http_client(Ways::from_env(&[]))
}
