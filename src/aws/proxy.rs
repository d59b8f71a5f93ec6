//! Chooses the proxy for calls to AWS from the variables that curl and the AWS SDKs read. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::local::literal;

/// In curl's and botocore's order: lowercase first.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy for https, and the hosts that bypass it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proxy {
    /// The proxy's URL, which may contain credentials.
    url: Option<String>,
    exceptions: Vec<Exception>,
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// `*`: every host.
    All,
    /// `host`, `.host` or `*.host`, each with or without a port.
    Name {
        /// In lowercase, without leading or trailing dots.
        name: String,
        /// `*.host` does not include the host itself.
        only_below: bool,
        port: Option<u16>,
    },
    /// `10.0.0.1`, `10.0.0.0/8`, `[::1]:443`
    Net { net: IpNet, port: Option<u16> },
}

impl Proxy {
    /// Reads the variables.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            names.iter().filter_map(|name| variable(name)).find(|value| !value.trim().is_empty())
        };
        let url = first(&PROXIES).map(|url| {
            let url = url.trim();
            // curl and botocore treat `proxy:3128` as an HTTP proxy.
            if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
        });
        let exceptions = first(&EXCEPTIONS).unwrap_or_default();
        let exceptions = exceptions.split([',', ' ', '\t']).filter_map(exception).collect();
        Proxy { url, exceptions }
    }

    /// The URL of the proxy for this host, which may be an address in brackets; `None` if the host bypasses the proxy.
    pub fn of(&self, host: &str, port: u16) -> Option<&str> {
        let url = self.url.as_deref()?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let ip = literal(&host);
        (!self.exceptions.iter().any(|exception| exception.covers(&host, ip, port))).then_some(url)
    }
}

impl Exception {
    fn covers(&self, host: &str, ip: Option<IpAddr>, at: u16) -> bool {
        let is_port = |port: &Option<u16>| port.is_none_or(|port| port == at);
        match self {
            Exception::All => true,
            Exception::Name { name, only_below, port } => {
                let is_below = host.strip_suffix(name.as_str()).is_some_and(|above| above.ends_with('.'));
                is_port(port) && ip.is_none() && (is_below || (!only_below && host == name))
            }
            Exception::Net { net, port } => {
                is_port(port) && ip.is_some_and(|ip| net.contains(&ip.to_canonical()))
            }
        }
    }
}

fn exception(entry: &str) -> Option<Exception> {
    if entry == "*" {
        return Some(Exception::All);
    }
    if let Some(net) = net(entry) {
        return Some(Exception::Net { net, port: None });
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    if let Some(net) = net(host) {
        return Some(Exception::Net { net, port });
    }
    let below = host.strip_prefix("*.");
    let name = below.unwrap_or(host).trim_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(Exception::Name { name, only_below: below.is_some(), port })
}

/// An address, or a network in CIDR notation.
fn net(text: &str) -> Option<IpNet> {
    literal(text).map(IpNet::from).or_else(|| text.parse().ok())
}

/// `host:port` of a URL, without credentials, for messages.
pub(super) fn address(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Proxy {
        Proxy::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn which_proxy() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", "http://p:1")], Some("http://p:1")),
            (&[("HTTPS_PROXY", "p:1")], Some("http://p:1")),
            (&[("HTTPS_PROXY", "http://upper:1"), ("https_proxy", "http://lower:1")], Some("http://lower:1")),
            (&[("HTTPS_PROXY", "http://p:1"), ("https_proxy", "")], Some("http://p:1")),
            (&[("ALL_PROXY", "http://all:1")], Some("http://all:1")),
            (&[("ALL_PROXY", "http://all:1"), ("HTTPS_PROXY", "http://p:1")], Some("http://p:1")),
            (&[("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1")], None),
        ] {
            assert_eq!(with(variables).of("sqs.eu-west-1.amazonaws.com", 443), expected, "{variables:?}");
        }
    }

    #[test]
    fn exceptions() {
        const SQS: &str = "sqs.eu-west-1.amazonaws.com";
        for (no_proxy, host, is_direct) in [
            ("", SQS, false),
            ("*", SQS, true),
            ("amazonaws.com", SQS, true),
            (".amazonaws.com", SQS, true),
            ("*.amazonaws.com", SQS, true),
            ("*.amazonaws.com", "amazonaws.com", false),
            (".amazonaws.com", "amazonaws.com", true),
            ("AmazonAWS.com.", SQS, true),
            ("sqs.eu-west-1.amazonaws.com:443", SQS, true),
            ("sqs.eu-west-1.amazonaws.com:8443", SQS, false),
            ("*.amazonaws.com:443", SQS, true),
            ("aws.com", SQS, false),
            ("a.test, amazonaws.com", SQS, true),
            ("a.test amazonaws.com", SQS, true),
            ("a.test,,*.test", SQS, false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1:443", "10.0.0.1", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", SQS, false),
            ("0.0.1", "10.0.0.1", false),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("[::1]:443", "[::1]", true),
            ("[::1]:444", "[::1]", false),
            ("fd00::/8", "[fd00:ec2::254]", true),
            ("amazonaws.com:https", SQS, false),
            (".", SQS, false),
        ] {
            let proxy = with(&[("https_proxy", "http://p:1"), ("NO_PROXY", no_proxy)]);
            assert_eq!(proxy.of(host, 443).is_none(), is_direct, "{no_proxy:?} {host}");
        }
    }

    #[test]
    fn addresses_have_no_credentials() {
        assert_eq!(address("http://user:p%40ss@proxy.test:3128/x"), "proxy.test:3128");
        assert_eq!(address("https://[::1]:3128"), "[::1]:3128");
    }
}
