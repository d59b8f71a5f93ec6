//! Sends every request of the SDK, including those for credentials, with or without TLS, directly or through a proxy.
//!
//! The error of a failed request names the host and says what to do. Missing certificates are an error, never a panic.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

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
use hyper_util::client::legacy;
use tokio::sync::OnceCell;
use url::Url;

use super::local::{PlainHttp, PlainHttpRefused};
use super::proxy::{self, Proxy};
use super::roots;
use super::success::{self, Expected, Success};
use crate::http::{causes, chain, find, io_kind};

/// The longest response that is read, in bytes. One 1 MiB message fits, however JSON escapes it. If ten messages do not fit,
/// the machine asks for fewer.
pub const RESPONSE_MAX: usize = 4 * 1024 * 1024;

/// Why a request got no response from AWS.
#[derive(Debug, thiserror::Error)]
#[error("{to}: {why}; {advice}")]
pub(super) struct Failure {
    /// `https://host:port`, with the proxy if there is one.
    to: String,
    why: String,
    advice: &'static str,
    /// Whether the request was certainly not sent.
    pub unsent: bool,
}

/// What all connectors share: how a request leaves, and what it trusts.
#[derive(Debug, Default)]
pub(super) struct Ways {
    plain: PlainHttp,
    proxy: Proxy,
    /// The bundle of root certificates; set once the SDK's configuration was read.
    bundle: OnceLock<Option<PathBuf>>,
}

impl Ways {
    /// Reads the environment. Plain HTTP may also go to the hosts in `allow_http`.
    pub fn from_env(allow_http: &[String]) -> Arc<Self> {
        let proxy = Proxy::from_variables(|name| std::env::var(name).ok());
        Arc::new(Ways { plain: PlainHttp::new(allow_http), proxy, bundle: OnceLock::new() })
    }

    /// Sets the bundle. Must be called before the first https request.
    pub fn trust(&self, bundle: Option<PathBuf>) {
        // `Clients::connect` sets it once.
        let _ = self.bundle.set(bundle);
    }
}

/// The HTTP client for all SDK clients and credential providers.
pub(super) fn http_client(ways: Arc<Ways>) -> SharedHttpClient {
    // The SDK asks for a connector for each call. Connections live in the connector, so each kind is kept.
    type Kept = (Limits, SharedHttpConnector);
    let kept: Mutex<Vec<Kept>> = Mutex::default();
    http_client_fn(move |settings, components| {
        let limits = (settings.connect_timeout(), settings.read_timeout());
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = kept.iter().find(|(known, _)| *known == limits) {
            return connector.clone();
        }
        let sender = Sender::new(settings, components, Arc::clone(&ways));
        let connector = SharedHttpConnector::new(SharedSender(Arc::new(sender)));
        kept.push((limits, connector.clone()));
        connector
    })
}

/// The connect and read limits, which distinguish the SDK's connectors.
type Limits = (Option<Duration>, Option<Duration>);

/// Sends requests, and caps the responses.
struct Sender {
    builder: ConnectorBuilder,
    ways: Arc<Ways>,
    plain: Connector,
    /// Created for the first request with TLS. Retried until root certificates are found.
    direct: OnceCell<Connector>,
    proxied: OnceCell<Connector>,
}

#[derive(Clone)]
struct SharedSender(Arc<Sender>);

impl fmt::Debug for SharedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSender").finish_non_exhaustive()
    }
}

impl HttpConnector for SharedSender {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sender = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move { sender.send(request).await })
    }
}

impl Sender {
    fn new(settings: &HttpConnectorSettings, components: &RuntimeComponents, ways: Arc<Ways>) -> Self {
        let mut builder = Connector::builder().connector_settings(settings.clone());
        builder.set_sleep_impl(components.sleep_impl());
        let no_roots =
            TlsContext::builder().with_trust_store(TrustStore::empty()).build().unwrap_or_default();
        let plain = builder.clone().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(no_roots);
        let plain = plain.build_with_resolver(ways.plain.clone());
        Sender { builder, ways, plain, direct: OnceCell::new(), proxied: OnceCell::new() }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = Target::of(request.uri());
        let proxy = if target.is_plain { None } else { self.ways.proxy.of(&target.host, target.port) };
        let to = match proxy {
            Some(url) => format!("{} through the proxy {}", target.origin, proxy::address(url)),
            None => target.origin.clone(),
        };
        let unsent = |why: String, advice| {
            let failure = Failure { to: to.clone(), why, advice, unsent: true };
            ConnectorError::user(Box::new(failure))
        };
        let connector = if target.is_plain {
            // Plain HTTP is for IMDS, a container's credentials or a simulator. It is never proxied and needs no roots.
            self.ways.plain.check(&target.host).map_err(|error| unsent(error.to_string(), NOT_SENT))?;
            &self.plain
        } else {
            self.with_tls(proxy).await.map_err(|why| unsent(why, NOT_SENT))?
        };
        let expected = success::expected(request.headers().get("x-amz-target"), body_of(&request));
        let answer = match connector.call(request).await {
            Ok(response) => whole(response, &expected).await,
            Err(error) => Err(error.into_source()),
        };
        answer.map_err(|error| {
            let (why, advice, unsent) = explain(&*error, proxy.is_some());
            ConnectorError::io(Box::new(Failure { to, why, advice, unsent }))
        })
    }

    /// The connector for https, or why it could not be created.
    async fn with_tls(&self, proxy: Option<&str>) -> Result<&Connector, String> {
        let cell = if proxy.is_some() { &self.proxied } else { &self.direct };
        let make = || async {
            let proxy = match proxy {
                None => ProxyConfig::disabled(),
                Some(url) => ProxyConfig::https(url).map_err(|error| {
                    format!("{error}; check HTTPS_PROXY (http:// or https://, host and port)")
                })?,
            };
            let bundle = self.ways.bundle.get().cloned().flatten();
            // A hung disk must not block the loop.
            let loaded = tokio::task::spawn_blocking(move || roots::load(bundle.as_deref())).await;
            let roots = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let builder = self.builder.clone().proxy_config(proxy);
            Ok(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(roots).build())
        };
        cell.get_or_try_init(make).await
    }
}

const NOT_SENT: &str = "it was not sent";

/// Where a request goes.
struct Target {
    is_plain: bool,
    host: String,
    port: u16,
    /// `https://host:port`
    origin: String,
}

impl Target {
    fn of(uri: &str) -> Self {
        let url = Url::parse(uri).ok();
        let is_plain = !uri.starts_with("https:");
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
        let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or_default();
        let scheme = if is_plain { "http" } else { "https" };
        Target { is_plain, origin: format!("{scheme}://{host}:{port}"), host, port }
    }
}

fn body_of(request: &HttpRequest) -> &[u8] {
    request.body().bytes().unwrap_or_default()
}

/// Reads the whole response. It is an error if it is too long, breaks off, or is a success that does not come from AWS.
async fn whole(
    mut response: HttpResponse,
    expected: &Expected,
) -> Result<HttpResponse, Box<dyn Error + Send + Sync>> {
    let body = std::mem::replace(response.body_mut(), SdkBody::taken());
    let body = Limited::new(body, RESPONSE_MAX).collect().await?.to_bytes();
    let headers = response.headers();
    let success = Success {
        has_request_id: headers.contains_key("x-amzn-requestid"),
        content_type: headers.get("content-type").unwrap_or_default(),
        body: &body,
    };
    if response.status().is_success()
        && let Some(flaw) = success::flaw(expected, &success)
    {
        return Err(flaw.into());
    }
    *response.body_mut() = SdkBody::from(body);
    Ok(response)
}

/// What happened, what to do, and whether the request was certainly not sent.
fn explain(error: &(dyn Error + 'static), is_proxied: bool) -> (String, &'static str, bool) {
    let unsent = error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect);
    if !unsent {
        return (causes(error), "it may have taken effect", false);
    }
    if let Some(refused) = find::<PlainHttpRefused>(error) {
        return (refused.to_string(), NOT_SENT, true);
    }
    let (why, advice) = match find::<rustls::Error>(error) {
        Some(tls) => (causes(tls), advice_on_tls(tls)),
        None => {
            let why = reason(error);
            let advice = if is_proxied { advice_on_proxy(&why) } else { advice_on_way(error) };
            (why, advice)
        }
    };
    (why, advice, true)
}

/// What happened. Uses short words where the chain of causes says no more.
fn reason(error: &(dyn Error + 'static)) -> String {
    let told = causes(error);
    let in_lowercase = told.to_ascii_lowercase();
    if in_lowercase.contains("timed out") || in_lowercase.contains("timeout") {
        return "connection timed out".to_owned();
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        _ => told,
    }
}

fn advice_on_tls(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "it was not sent; another server answered: check the endpoint, what its name resolves to, and the proxy"
        }
        rustls::Error::InvalidCertificate(_) => {
            "it was not sent; if a proxy inspects TLS, set AWS_CA_BUNDLE to a file with its CA certificate"
        }
        _ => "it was not sent; check that the endpoint and the proxy speak TLS",
    }
}

/// The proxy resolves the endpoint's name and connects to it; this machine only connects to the proxy. The errors are matched
/// by text because the HTTP client does not export their type.
fn advice_on_proxy(why: &str) -> &'static str {
    if why.contains("tunnel error: unsuccessful") {
        "it was not sent; the proxy refused: allow this host in the proxy, or add it to NO_PROXY"
    } else if why.contains("tunnel error: proxy authorization required") {
        "it was not sent; the proxy rejected the credentials: check the user and the password in HTTPS_PROXY"
    } else {
        "it was not sent; check HTTPS_PROXY and NO_PROXY, and that the proxy is reachable"
    }
}

fn advice_on_way(error: &(dyn Error + 'static)) -> &'static str {
    // Matched by text because the HTTP client does not export this error's type.
    if chain(error).any(|cause| cause.to_string() == "dns error") {
        return "it was not sent; check the Region, the endpoint, and the instance's DNS resolver";
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => {
            "it was not sent; nothing is listening there: check the endpoint"
        }
        _ => {
            "it was not sent; check the network path: a NAT gateway or a VPC endpoint, the security groups, a proxy \
             (HTTPS_PROXY)"
        }
    }
}
