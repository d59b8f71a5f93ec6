//! Checks that a success comes from AWS. A proxy's sign-in page is a 200 too. Pure.
//!
//! An XML response names the call in its root element. Some responses of SQS have no body and are recognized by a header:
//! `x-amzn-RequestId` or the content type. The request id alone is not enough to rely on, because some proxies strip it.

use formats::text::quote;

/// What a call's success must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// A document of the Query protocol, whose root element is named after the call.
    Xml {
        /// Such as `RecordLifecycleActionHeartbeatResponse`.
        root: String,
    },
    /// A document of the JSON protocol, or an empty body.
    Json,
    /// Not a call to a service, such as a request for credentials.
    Anything,
}

/// What the success must look like, by the request's `x-amz-target` and body.
pub(super) fn expected(target: Option<&str>, body: &[u8]) -> Expected {
    if target.is_some() {
        return Expected::Json;
    }
    let form = std::str::from_utf8(body).unwrap_or_default();
    match form.split('&').find_map(|field| field.strip_prefix("Action=")) {
        Some(action) => Expected::Xml { root: format!("{action}Response") },
        None => Expected::Anything,
    }
}

/// The parts of a success that show who answered.
pub(super) struct Success<'a> {
    /// Whether it has an `x-amzn-requestid` header.
    pub has_request_id: bool,
    /// Its `content-type`.
    pub content_type: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

/// What is wrong with a success, if anything.
pub(super) fn flaw(expected: &Expected, success: &Success<'_>) -> Option<String> {
    let text = String::from_utf8_lossy(success.body);
    let text = text.trim();
    let got = || quote(text.as_bytes());
    let advice = "something other than AWS answered; check the proxy and the endpoint";
    match expected {
        Expected::Xml { root } if root_name(text) != Some(root) => {
            Some(format!("a success with {} instead of a {root}: {advice}", got()))
        }
        Expected::Json if !is_json(success, text) => {
            let unmarked = if is_marked(success) { "" } else { " without SQS's headers" };
            Some(format!("a success{unmarked} with {} instead of a JSON object: {advice}", got()))
        }
        // The SDK would read truncated XML as a shorter list.
        Expected::Xml { .. } | Expected::Json | Expected::Anything => {
            is_cut(text).then(|| "a success with truncated XML".to_owned())
        }
    }
}

fn is_json(success: &Success<'_>, text: &str) -> bool {
    is_marked(success) && (text.is_empty() || text.starts_with('{'))
}

fn is_marked(success: &Success<'_>) -> bool {
    success.has_request_id || success.content_type.starts_with("application/x-amz-json")
}

/// The name of the root element.
fn root_name(text: &str) -> Option<&str> {
    let root = root(text)?;
    root.split([' ', '\n', '\r', '\t', '>', '/']).next()
}

/// The root element's start tag, without `<`.
fn root(text: &str) -> Option<&str> {
    text.strip_prefix('<')?;
    text.split('<').skip(1).find(|tag| !tag.starts_with(['?', '!']))
}

/// Whether a text begins as XML but does not end with the root element's end tag.
fn is_cut(text: &str) -> bool {
    if !text.starts_with('<') {
        return false;
    }
    let name = root_name(text).unwrap_or_default();
    let is_empty = root(text).is_some_and(|root| root.ends_with("/>") && text.ends_with(root));
    !is_empty && !text.ends_with(&format!("</{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_xml() {
        for whole in [
            "",
            "{",
            "i-1 < i-2",
            "<a/>",
            "<a x='1'/>",
            "<?xml version='1.0'?>\n<!-- b --><a><b/></a>",
            "<a></a>",
        ] {
            assert!(!is_cut(whole), "{whole}");
        }
        for cut in ["<", "<a", "<a>", "<a><b/>", "<a><b></b>", "<a></a", "<?xml version='1.0'?><a b='</c>'>"]
        {
            assert!(is_cut(cut), "{cut}");
        }
    }

    #[test]
    fn successes_of_aws() {
        let heartbeat =
            expected(None, b"Action=RecordLifecycleActionHeartbeat&Version=2011-01-01&InstanceId=i-1");
        let delete = expected(Some("AmazonSQS.DeleteMessage"), b"{}");
        let other = expected(None, b"");
        let document = "<RecordLifecycleActionHeartbeatResponse xmlns=\"x\"><RecordLifecycleActionHeartbeatResult/>\
                        </RecordLifecycleActionHeartbeatResponse>\n";
        let cut = &document[..80];
        for (expected, has_request_id, content_type, body, is_aws) in [
            (&heartbeat, false, "text/xml", document, true),
            (&heartbeat, true, "text/xml", document, true),
            (&heartbeat, true, "text/xml", cut, false),
            (&heartbeat, true, "text/xml", "", false),
            (&heartbeat, true, "text/html", "<html></html>", false),
            (&heartbeat, true, "text/xml", "<CompleteLifecycleActionResponse/>", false),
            (&delete, true, "", "", true),
            (&delete, false, "application/x-amz-json-1.0", "", true),
            (&delete, false, "application/x-amz-json-1.0", "{}", true),
            (&delete, false, "", "", false),
            (&delete, false, "application/json", "{}", false),
            (&delete, true, "text/html", "<html></html>", false),
            (&other, false, "text/plain", "eu-west-1", true),
            (&other, false, "text/xml", "<a>", false),
        ] {
            let success = Success { has_request_id, content_type, body: body.as_bytes() };
            assert_eq!(flaw(expected, &success).is_none(), is_aws, "{expected:?} {content_type} {body}");
        }
    }

    /// The quoted start is escaped once, and the reason says what was expected.
    #[test]
    fn flaws_are_described() {
        let told = |has_request_id, body: &str| {
            let success = Success { has_request_id, content_type: "text/html", body: body.as_bytes() };
            flaw(&Expected::Json, &success).expect("a flaw")
        };
        let page = "<a b='c'>\u{1b}";
        let quoted = r#"with "<a b='c'>\u{1b}" instead of a JSON object: "#;
        assert!(told(true, page).starts_with(&format!("a success {quoted}")), "{}", told(true, page));
        let unmarked = format!("a success without SQS's headers {quoted}");
        assert!(told(false, page).starts_with(&unmarked), "{}", told(false, page));
    }
}
