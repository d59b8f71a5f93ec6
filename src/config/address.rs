//! Where an agent with an HTTP interface listens.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An `http://` URL without a trailing slash. Its host is loopback or the one in `allow_host`.
    Url(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The host of a URL, without brackets, unless it is loopback.
    pub fn remote_host(&self) -> Option<String> {
        let Address::Url(url) = self else { return None };
        remote_host(url)
    }
}

/// The host of a URL, without brackets, unless it is loopback.
pub(super) fn remote_host(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let is_loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    (!is_loopback).then(|| host.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Url(url) => f.write_str(url),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
