//! Builds what the SDK's clients need: credentials, Region, endpoints, one HTTP client with capped answers.
//!
//! Built at the first notice: an idle instance needs none of it, and the TLS roots are read only when the first
//! https request leaves. Retries are the machine's, time limits of whole calls the shell's.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::config::{ProvideCredentials, StalledStreamProtectionConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};

use crate::http::causes;

/// The longest answer that is read: a message of the queue, 1 MiB, however JSON escapes it. Where ten together are more,
/// the machine asks for fewer.
pub const RESPONSE_MAX: usize = 4 * 1024 * 1024;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The clients of the services that drainhook calls.
#[derive(Debug, Clone)]
pub struct Clients {
    config: SdkConfig,
    pub(super) autoscaling: aws_sdk_autoscaling::Client,
    pub(super) sqs: aws_sdk_sqs::Client,
}

impl Clients {
    /// Finds Region, endpoints and credentials' source as every AWS SDK program does. It may ask IMDS for the Region.
    pub async fn connect() -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).build())
            // The shell limits whole calls, which stalls are part of.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new("drainhook") {
            loader = loader.app_name(name);
        }
        Clients::from_config(loader.load().await)
    }

    /// Clients for a configuration made elsewhere. It should have [`http_client`] as its HTTP client.
    pub fn from_config(config: SdkConfig) -> Self {
        let autoscaling = aws_sdk_autoscaling::Client::new(&config);
        let sqs = aws_sdk_sqs::Client::new(&config);
        Clients { config, autoscaling, sqs }
    }

    /// The access key that calls are signed with, or why there is none. The secret stays where it is.
    pub async fn access_key_id(&self) -> Result<String, String> {
        let provider = self.config.credentials_provider().ok_or("no source of credentials is configured")?;
        let found = provider.provide_credentials().await;
        found.map(|found| found.access_key_id().to_owned()).map_err(|error| causes(&error))
    }

    /// The Region that calls go to, if one was found.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }
}

/// The HTTP client of every SDK client, and of the providers of their credentials.
pub fn http_client() -> SharedHttpClient {
    // The SDK asks for a connector per call; connections live in the connector, so each kind is kept.
    type Kept = (Limits, SharedHttpConnector);
    let kept: Mutex<Vec<Kept>> = Mutex::default();
    http_client_fn(move |settings, components| {
        let limits = (settings.connect_timeout(), settings.read_timeout());
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = kept.iter().find(|(known, _)| *known == limits) {
            return connector.clone();
        }
        let connector = SharedHttpConnector::new(CappedConnector::new(settings, components));
        kept.push((limits, connector.clone()));
        connector
    })
}

/// Connect and read limits: what the SDK distinguishes connectors by.
type Limits = (Option<Duration>, Option<Duration>);

/// Sends requests with TLS or without, and caps the answers.
struct CappedConnector {
    builder: ConnectorBuilder,
    plain: Connector,
    tls: Arc<OnceLock<Connector>>,
}

impl CappedConnector {
    fn new(settings: &HttpConnectorSettings, components: &RuntimeComponents) -> Self {
        let mut builder = Connector::builder().connector_settings(settings.clone());
        builder.set_sleep_impl(components.sleep_impl());
        let no_roots =
            TlsContext::builder().with_trust_store(TrustStore::empty()).build().unwrap_or_default();
        let plain =
            builder.clone().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(no_roots).build();
        CappedConnector { builder, plain, tls: Arc::default() }
    }

    /// With the roots of the platform (or of `SSL_CERT_FILE`), through the proxy that the environment names.
    fn tls(&self) -> &Connector {
        self.tls.get_or_init(|| {
            let builder = self.builder.clone().proxy_config(ProxyConfig::from_env());
            builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
        })
    }
}

impl fmt::Debug for CappedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CappedConnector").finish_non_exhaustive()
    }
}

impl HttpConnector for CappedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Plain HTTP is IMDS, a container's credentials or a simulator: never proxied, and in no need of roots.
        let sent = if request.uri().starts_with("https:") {
            self.tls().call(request)
        } else {
            self.plain.call(request)
        };
        HttpConnectorFuture::new(async move { whole(sent.await?).await })
    }
}

/// Reads an answer to its end. One that is too long or breaks off is an error, and so is a success in XML whose end is
/// missing: the SDK would take it for a shorter list.
async fn whole(mut response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let body = std::mem::replace(response.body_mut(), SdkBody::taken());
    let body = Limited::new(body, RESPONSE_MAX).collect().await.map_err(ConnectorError::io)?.to_bytes();
    if response.status().is_success() && is_cut(&body) {
        return Err(ConnectorError::io("the answer is XML whose end is missing".into()));
    }
    *response.body_mut() = SdkBody::from(body);
    Ok(response)
}

/// Whether a text begins as XML and does not end with the end of its outermost element.
fn is_cut(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if !text.starts_with('<') {
        return false;
    }
    let root = text.split('<').skip(1).find(|tag| !tag.starts_with(['?', '!'])).unwrap_or_default();
    let name = root.split([' ', '\n', '>', '/']).next().unwrap_or_default();
    let is_empty = root.ends_with("/>") && text.ends_with(root);
    !is_empty && !text.ends_with(&format!("</{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_whose_end_is_missing() {
        for whole in [
            "",
            "{",
            "i-1 < i-2",
            "<a/>",
            "<a x='1'/>\n",
            "<?xml version='1.0'?>\n<!-- b --><a><b/></a>\n",
            "<a></a>",
        ] {
            assert!(!is_cut(whole.as_bytes()), "{whole}");
        }
        for cut in ["<", "<a", "<a>", "<a><b/>", "<a><b></b>", "<a></a", "<?xml version='1.0'?><a b='</c>'>"]
        {
            assert!(is_cut(cut.as_bytes()), "{cut}");
        }
    }
}
