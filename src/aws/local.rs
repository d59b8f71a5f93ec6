//! Where plain HTTP may go: to loopback and link-local addresses, and to hosts in `aws.allow_http`.
//!
//! Anyone on the network path can read and answer a signed request that is not encrypted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use url::Url;

/// Whether an address is loopback, link-local, or in `fd00:ec2::/32`, the IPv6 range of IMDS and of containers'
/// credentials.
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unicast_link_local() || ip.segments()[..2] == [0xfd00, 0x0ec2]
        }
    }
}

/// The host of a URL as an IP address, if it is one. IPv6 may be in brackets.
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<Ipv6Addr>().map(IpAddr::V6).or_else(|_| bare.parse::<Ipv4Addr>().map(IpAddr::V4)).ok()
}

/// `localhost` always means this machine, whatever the hosts file says (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Plain HTTP to this host was refused.
#[derive(Debug, thiserror::Error)]
#[error(
    "plain HTTP to {host}, which is neither loopback nor link-local, was refused: others could read the signed request \
     and answer it; use https, or add the host to aws.allow_http"
)]
pub(super) struct PlainHttpRefused {
    host: String,
}

/// The hosts that plain HTTP may go to.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainHttp {
    allowed: Arc<[String]>,
}

impl PlainHttp {
    /// Allows loopback, link-local addresses, and these hosts.
    pub fn new(allowed: &[String]) -> Self {
        PlainHttp { allowed: allowed.iter().map(|host| bare(host)).collect() }
    }

    /// Checks an IP address. Names pass, and are checked when they are resolved.
    pub fn check(&self, host: &str) -> Result<(), PlainHttpRefused> {
        match literal(host) {
            Some(ip) if !is_local(ip) && !self.is_allowed(host) => {
                Err(PlainHttpRefused { host: host.to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_allowed(&self, host: &str) -> bool {
        self.allowed.contains(&bare(host))
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveDnsError> {
        if is_localhost(name) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
        let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if !self.is_allowed(name) {
            found.retain(|ip| is_local(*ip));
            if found.is_empty() {
                return Err(ResolveDnsError::new(PlainHttpRefused { host: name.to_owned() }));
            }
        }
        Ok(found)
    }
}

impl ResolveDns for PlainHttp {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(self.resolve(name))
    }
}

fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// The variables that set the endpoints of AWS. They must be loopback while time is simulated.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_AUTO_SCALING", "AWS_ENDPOINT_URL_SQS"];

/// Checks that the environment has IMDS and AWS on loopback, because a simulated clock must not be used with real services.
/// The error names the variable.
pub fn simulation(variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is_true = |name: &str| set(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let refuse = |name: &str, is: &str| {
        Err(format!(
            "simulation.clock is only for simulations on loopback, but {name} is {is}: unset simulation.clock (in the \
             environment: DRAINHOOK_SIMULATION__CLOCK)"
        ))
    };
    let mut needed = vec![ENDPOINTS[0]];
    if !is_true("AWS_EC2_METADATA_DISABLED") {
        needed.push("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    }
    for name in needed {
        if set(name).is_none() {
            return refuse(name, "not set");
        }
    }
    for name in ENDPOINTS.into_iter().chain(["AWS_EC2_METADATA_SERVICE_ENDPOINT"]) {
        match set(name) {
            Some(url) if !is_loopback(&url) => return refuse(name, &url),
            Some(_) | None => {}
        }
    }
    let ignored = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
    if is_true(ignored) { refuse(ignored, "true") } else { Ok(()) }
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    is_localhost(host) || literal(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for local in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "[::1]",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
        ] {
            assert!(literal(local).is_some_and(is_local), "{local}");
        }
        for other in ["0.0.0.0", "10.0.0.1", "192.168.1.1", "8.8.8.8", "[::]", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(literal(other).is_some_and(|ip| !is_local(ip)), "{other}");
        }
        assert_eq!(literal("sqs.eu-west-1.amazonaws.com"), None);
    }

    #[test]
    fn plain_http() {
        let plain = PlainHttp::new(&["10.0.0.1".to_owned(), "[fd00::1]".to_owned(), "LocalStack".to_owned()]);
        for allowed in ["127.0.0.1", "10.0.0.1", "[fd00::1]", "judged.when.it.is.resolved"] {
            assert!(plain.check(allowed).is_ok(), "{allowed}");
        }
        for refused in ["10.0.0.2", "[fd00::2]", "0.0.0.0"] {
            assert!(plain.check(refused).is_err(), "{refused}");
        }
        assert!(plain.is_allowed("localstack."));
    }

    #[tokio::test]
    async fn localhost_is_this_machine() {
        let plain = PlainHttp::default();
        for name in ["localhost", "LOCALHOST.", "sqs.localhost"] {
            assert_eq!(plain.resolve(name).await.expect("no look-up"), [Ipv4Addr::LOCALHOST], "{name}");
        }
    }

    #[test]
    fn simulations() {
        let with = |changes: &[(&str, &str)]| {
            let good = [
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:4000"),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://localhost:4001"),
            ];
            let all: Vec<(&str, &str)> = changes.iter().chain(&good).copied().collect();
            simulation(|name| {
                all.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        for good in [
            &[][..],
            &[("AWS_ENDPOINT_URL", "https://[::1]:1")],
            &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", ""), ("AWS_EC2_METADATA_DISABLED", "true")],
        ] {
            assert_eq!(with(good), Ok(()), "{good:?}");
        }
        for bad in [
            ("AWS_ENDPOINT_URL", ""),
            ("AWS_ENDPOINT_URL", "not a URL"),
            ("AWS_ENDPOINT_URL", "https://autoscaling.eu-west-1.amazonaws.com"),
            ("AWS_ENDPOINT_URL_SQS", "https://sqs.eu-west-1.amazonaws.com"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", ""),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ] {
            let error = with(&[bad]).expect_err("refused");
            assert!(error.contains(bad.0), "{error}");
        }
    }
}
