//! Reads the endpoint and the Region from a queue's URL. Pure.
//!
//! The SDK ignores the host of a queue's URL. The SDKs for Java, JavaScript, Ruby and PHP use it.

use url::Url;

/// The DNS suffixes of AWS's partitions: those of IPv4 endpoints, and those of dual-stack endpoints.
const SUFFIXES: [(&str, &str); 7] = [
    ("amazonaws.com", "api.aws"),
    ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("amazonaws.eu", "api.amazonwebservices.eu"),
    ("c2s.ic.gov", "api.aws.ic.gov"),
    ("sc2s.sgov.gov", "api.aws.scloud"),
    ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
];

/// Where a queue is, by its URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// The endpoint, unless the environment sets one.
    pub endpoint: Endpoint,
    /// The Region to sign requests for; `None` if the URL does not name one.
    pub region: Option<String>,
}

/// The endpoint that a queue's URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A public endpoint of the Region. The SDK knows its name.
    Public(Kind),
    /// Any other, such as a VPC endpoint: scheme, host and port.
    Own(String),
}

/// The kind of a public endpoint, by its name. The settings of the SDK can add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kind {
    pub fips: bool,
    pub dual_stack: bool,
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint::Public(Kind::default())
    }
}

/// Reads a queue's URL.
pub(super) fn place(queue_url: &str) -> Place {
    let Ok(url) = Url::parse(queue_url) else { return Place::default() };
    let host = url.host_str().unwrap_or_default();
    let region = region(host).or_else(|| match url.path().split('/').collect::<Vec<_>>()[..] {
        // LocalStack's strategy "path".
        ["", "queue", region, _, _] => Some(region.to_owned()),
        _ => None,
    });
    let endpoint = match public(host) {
        Some(kind) => Endpoint::Public(kind),
        None => Endpoint::Own(url.origin().ascii_serialization()),
    };
    Place { endpoint, region }
}

/// The Region in a host name. Knows AWS's names in all partitions (FIPS, dual stack and VPC endpoints too) and LocalStack's.
fn region(host: &str) -> Option<String> {
    if host == "queue.amazonaws.com" {
        return Some("us-east-1".to_owned());
    }
    let labels: Vec<&str> = host.split('.').collect();
    let named = match labels[..] {
        [vpce, "sqs" | "sqs-fips", region, "vpce", ..] if vpce.starts_with("vpce-") => region,
        ["sqs" | "sqs-fips", region, _, ..] | [region, "queue", _, ..] => region,
        _ => return None,
    };
    is_region(named).then(|| named.to_owned())
}

/// The kind of a public endpoint; `None` for any other host. The SDK picks its name, so that the FIPS and dual-stack settings
/// apply, and because the legacy names do not work through a VPC endpoint.
fn public(host: &str) -> Option<Kind> {
    let region = region(host)?;
    SUFFIXES.into_iter().find_map(|(suffix, dual)| {
        let legacy = host == format!("queue.{suffix}") || host == format!("{region}.queue.{suffix}");
        let named = [("sqs", suffix), ("sqs-fips", suffix), ("sqs", dual), ("sqs-fips", dual)];
        let named =
            named.into_iter().find(|(service, suffix)| host == format!("{service}.{region}.{suffix}"));
        let kind =
            named.map(|(service, found)| Kind { fips: service == "sqs-fips", dual_stack: found == dual });
        kind.or_else(|| legacy.then(Kind::default))
    })
}

/// Words of letters and a number, such as `eu-west-1` or `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = words.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.len() >= 2 && words.iter().all(is_word) && number.parse::<u8>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let (fips, dual_stack) = (true, true);
        let is = |fips, dual_stack| Endpoint::Public(Kind { fips, dual_stack });
        let public = || is(false, false);
        let own = |origin: &str| Endpoint::Own(origin.to_owned());
        for (url, endpoint, region) in [
            ("https://sqs.eu-west-1.amazonaws.com/1/q", public(), Some("eu-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", public(), Some("cn-north-1")),
            ("https://sqs.us-gov-west-1.amazonaws.com/1/q", public(), Some("us-gov-west-1")),
            ("https://queue.amazonaws.com/1/q", public(), Some("us-east-1")),
            ("https://eu-west-1.queue.amazonaws.com/1/q", public(), Some("eu-west-1")),
            ("https://sqs-fips.us-east-1.amazonaws.com/1/q", is(fips, false), Some("us-east-1")),
            ("https://sqs.eu-west-1.api.aws/1/q", is(false, dual_stack), Some("eu-west-1")),
            ("https://sqs-fips.us-east-1.api.aws/1/q", is(fips, dual_stack), Some("us-east-1")),
            (
                "https://vpce-0a1b-c2d3.sqs.eu-west-1.vpce.amazonaws.com/1/q",
                own("https://vpce-0a1b-c2d3.sqs.eu-west-1.vpce.amazonaws.com"),
                Some("eu-west-1"),
            ),
            (
                "https://vpce-0a1b-c2d3-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com/1/q",
                own("https://vpce-0a1b-c2d3-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com"),
                Some("eu-west-1"),
            ),
            (
                "https://vpce-0a1b.sqs-fips.eu-west-1.vpce.amazonaws.com/1/q",
                own("https://vpce-0a1b.sqs-fips.eu-west-1.vpce.amazonaws.com"),
                Some("eu-west-1"),
            ),
            ("https://sqs.us-iso-east-1.c2s.ic.gov/1/q", public(), Some("us-iso-east-1")),
            ("https://sqs.us-isob-east-1.api.aws.scloud/1/q", is(false, dual_stack), Some("us-isob-east-1")),
            (
                "http://sqs.eu-west-1.localhost.localstack.cloud:4566/1/q",
                own("http://sqs.eu-west-1.localhost.localstack.cloud:4566"),
                Some("eu-west-1"),
            ),
            (
                "http://eu-west-1.queue.localhost.localstack.cloud:4566/1/q",
                own("http://eu-west-1.queue.localhost.localstack.cloud:4566"),
                Some("eu-west-1"),
            ),
            ("http://127.0.0.1:4566/queue/eu-west-1/1/q", own("http://127.0.0.1:4566"), Some("eu-west-1")),
            ("http://127.0.0.1:4566/1/q", own("http://127.0.0.1:4566"), None),
            ("http://[::1]:4566/1/q", own("http://[::1]:4566"), None),
            ("https://queues.example.com/1/q", own("https://queues.example.com"), None),
            ("https://sqs.example.com/1/q", own("https://sqs.example.com"), None),
            // A similar name keeps its host.
            (
                "https://sqs.eu-west-1.api.aws.example.com/1/q",
                own("https://sqs.eu-west-1.api.aws.example.com"),
                Some("eu-west-1"),
            ),
            (
                "https://sqs.eu-west-1.amazonaws.com.example.com/1/q",
                own("https://sqs.eu-west-1.amazonaws.com.example.com"),
                Some("eu-west-1"),
            ),
        ] {
            let expected = Place { endpoint, region: region.map(str::to_owned) };
            assert_eq!(place(url), expected, "{url}");
        }
    }

    #[test]
    fn regions() {
        for good in ["eu-west-1", "us-gov-east-1", "us-isob-east-1", "ap-southeast-12"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "eu", "eu-west", "eu-1", "1-2-3", "eu--1", "EU-WEST-1", "eu-west-1a"] {
            assert!(!is_region(bad), "{bad}");
        }
    }
}
