//! Reads the endpoint and the Region from a queue's URL. Pure.
//!
//! The SDK ignores the host of a queue's URL. The SDKs for Java, JavaScript, Ruby and PHP use it.

use url::Url;

/// Where a queue is, by its URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// The endpoint, unless the environment sets one; `None` means the Region's public endpoint.
    pub endpoint: Option<String>,
    /// The Region to sign requests for; `None` if the URL does not name one.
    pub region: Option<String>,
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
    let endpoint = (!is_public(host)).then(|| url.origin().ascii_serialization());
    Place { endpoint, region }
}

/// The Region in a host name. Knows AWS's names in all partitions (FIPS, dual stack and VPC endpoints too) and LocalStack's.
fn region(host: &str) -> Option<String> {
    if host == "queue.amazonaws.com" {
        return Some("us-east-1".to_owned());
    }
    let labels: Vec<&str> = host.split('.').collect();
    let named = match labels[..] {
        [vpce, "sqs", region, "vpce", ..] if vpce.starts_with("vpce-") => region,
        ["sqs" | "sqs-fips", region, _, ..] | [region, "queue", _, ..] => region,
        _ => return None,
    };
    is_region(named).then(|| named.to_owned())
}

/// Words of letters and a number, such as `eu-west-1` or `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = words.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.len() >= 2 && words.iter().all(is_word) && number.parse::<u8>().is_ok()
}

/// Whether a host is a public name of a Region's endpoint. For these the SDK picks the endpoint, with the FIPS and dual-stack
/// settings. The legacy names do not work through a VPC endpoint.
fn is_public(host: &str) -> bool {
    let Some(region) = region(host) else { return false };
    ["amazonaws.com", "amazonaws.com.cn"].into_iter().any(|suffix| {
        host == format!("sqs.{region}.{suffix}")
            || host == format!("{region}.queue.{suffix}")
            || host == format!("queue.{suffix}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (url, endpoint, region) in [
            ("https://sqs.eu-west-1.amazonaws.com/1/q", None, Some("eu-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", None, Some("cn-north-1")),
            ("https://sqs.us-gov-west-1.amazonaws.com/1/q", None, Some("us-gov-west-1")),
            ("https://queue.amazonaws.com/1/q", None, Some("us-east-1")),
            ("https://eu-west-1.queue.amazonaws.com/1/q", None, Some("eu-west-1")),
            (
                "https://sqs-fips.us-east-1.amazonaws.com/1/q",
                Some("https://sqs-fips.us-east-1.amazonaws.com"),
                Some("us-east-1"),
            ),
            ("https://sqs.eu-west-1.api.aws/1/q", Some("https://sqs.eu-west-1.api.aws"), Some("eu-west-1")),
            (
                "https://vpce-0a1b-c2d3.sqs.eu-west-1.vpce.amazonaws.com/1/q",
                Some("https://vpce-0a1b-c2d3.sqs.eu-west-1.vpce.amazonaws.com"),
                Some("eu-west-1"),
            ),
            (
                "https://vpce-0a1b-c2d3-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com/1/q",
                Some("https://vpce-0a1b-c2d3-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com"),
                Some("eu-west-1"),
            ),
            (
                "https://sqs.us-iso-east-1.c2s.ic.gov/1/q",
                Some("https://sqs.us-iso-east-1.c2s.ic.gov"),
                Some("us-iso-east-1"),
            ),
            (
                "http://sqs.eu-west-1.localhost.localstack.cloud:4566/1/q",
                Some("http://sqs.eu-west-1.localhost.localstack.cloud:4566"),
                Some("eu-west-1"),
            ),
            (
                "http://eu-west-1.queue.localhost.localstack.cloud:4566/1/q",
                Some("http://eu-west-1.queue.localhost.localstack.cloud:4566"),
                Some("eu-west-1"),
            ),
            ("http://127.0.0.1:4566/queue/eu-west-1/1/q", Some("http://127.0.0.1:4566"), Some("eu-west-1")),
            ("http://127.0.0.1:4566/1/q", Some("http://127.0.0.1:4566"), None),
            ("http://[::1]:4566/1/q", Some("http://[::1]:4566"), None),
            ("https://queues.example.com/1/q", Some("https://queues.example.com"), None),
            ("https://sqs.example.com/1/q", Some("https://sqs.example.com"), None),
            // A look-alike keeps its host.
            (
                "https://sqs.eu-west-1.amazonaws.com.example.com/1/q",
                Some("https://sqs.eu-west-1.amazonaws.com.example.com"),
                Some("eu-west-1"),
            ),
        ] {
            let expected = Place { endpoint: endpoint.map(str::to_owned), region: region.map(str::to_owned) };
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
