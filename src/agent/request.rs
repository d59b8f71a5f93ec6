//! Builds the requests to an agent with an HTTP interface: their methods, paths, headers and bodies.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Request;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use url::Url;

use super::secret;
use crate::config::{Body, Header, HeaderText, Method, Template};
use crate::http::host;
use machine::effect::DrainOrder;

/// How long an agent is asked to hold a status request (`Prefer: wait`), in seconds.
pub const PREFER_WAIT_MAX_S: u64 = 20;

/// The header that asks an agent to hold its answer (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request that changes the agent.
#[derive(Debug)]
pub struct Call<B = Template> {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Its body.
    pub body: B,
    /// The status codes that mean success, besides 2xx.
    pub success: Vec<u16>,
}

/// All requests to one agent.
#[derive(Debug)]
pub struct Requests {
    /// The drain request.
    pub drain: Call<Body>,
    /// The request that returns the agent to service.
    pub back: Call,
    /// The request that ends its work, if it has one.
    pub force: Option<Call>,
    /// Where the status request goes.
    pub status: Url,
    /// The headers of every request.
    pub headers: Vec<Header>,
    /// A file that holds a bearer token. Read for each request, so that the token can be rotated.
    pub token_file: Option<PathBuf>,
}

/// A request, or why it cannot be sent.
type Built = Result<Request<String>, String>;

impl Requests {
    /// The drain request. `instance_id` is empty outside an instance.
    pub fn drain(&self, order: &DrainOrder, instance_id: &str) -> Built {
        let (body, headers) = match &self.drain.body {
            Body::Document => (document(order, instance_id), vec![(ACCEPT, JSON)]),
            // Another interface may answer in text only, as Trino's does, and refuse a request that accepts only JSON.
            Body::Text(text) => (filled(text, order, instance_id), Vec::new()),
        };
        self.build(self.drain.method, &self.drain.url, body, headers, instance_id)
    }

    /// The request that ends the agent's work.
    pub fn force(&self, call: &Call, order: &DrainOrder, instance_id: &str) -> Built {
        let body = filled(&call.body, order, instance_id);
        self.build(call.method, &call.url, body, Vec::new(), instance_id)
    }

    /// The request that returns the agent to service.
    pub fn back(&self, instance_id: &str) -> Built {
        let body = self.back.body.fill(&[("instance_id", instance_id)]);
        self.build(self.back.method, &self.back.url, body, Vec::new(), instance_id)
    }

    /// The status request, which asks the agent to hold its response for this long.
    pub fn status(&self, wait: Duration, instance_id: &str) -> Built {
        let mut headers = vec![(ACCEPT, JSON)];
        let wait_s = wait.as_secs().min(PREFER_WAIT_MAX_S);
        if wait_s > 0 {
            let wait = HeaderValue::try_from(format!("wait={wait_s}"));
            headers.push((PREFER, wait.map_err(|error| error.to_string())?));
        }
        self.build(Method::Get, &self.status, String::new(), headers, instance_id)
    }

    /// A request for what is at the status path, in one of these formats.
    pub fn page(&self, accept: &'static str, instance_id: &str) -> Built {
        let headers = vec![(ACCEPT, HeaderValue::from_static(accept))];
        self.build(Method::Get, &self.status, String::new(), headers, instance_id)
    }

    /// The configured headers replace the given ones.
    fn build(
        &self,
        method: Method,
        url: &Url,
        body: String,
        given: Vec<(HeaderName, HeaderValue)>,
        instance_id: &str,
    ) -> Built {
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let body = if method.has_body() { body } else { String::new() };
        let is_empty = body.is_empty();
        let request = Request::builder().method(method.as_str()).uri(path).header(HOST, host(url));
        let mut request = request.body(body).map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        headers.extend(given);
        if !is_empty {
            headers.insert(CONTENT_TYPE, JSON);
        }
        for header in &self.headers {
            headers.insert(header.name.clone(), value(header, instance_id)?);
        }
        if is_empty {
            headers.remove(CONTENT_TYPE);
        }
        if is_empty && method.has_body() {
            // Servers may refuse such a method without a length (RFC 9110, section 8.6). hyper sends none.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some(path) = &self.token_file {
            headers.insert(AUTHORIZATION, secret::authorization(path)?);
        }
        Ok(request)
    }
}

fn value(header: &Header, instance_id: &str) -> Result<HeaderValue, String> {
    match &header.value {
        HeaderText::File(path) => secret::header(&header.name, path),
        HeaderText::Text(text) => HeaderValue::try_from(text.fill(&[("instance_id", instance_id)]))
            .map_err(|error| format!("the header {}: {error}", header.name)),
    }
}

/// A body, with what the agent is told in place of the placeholders.
fn filled(text: &Template, order: &DrainOrder, instance_id: &str) -> String {
    let deadline = order.deadline.to_string();
    text.fill(&[("reason", order.reason.as_str()), ("deadline", &deadline), ("instance_id", instance_id)])
}

/// The agent protocol's document.
fn document(order: &DrainOrder, instance_id: &str) -> String {
    let document = serde_json::json!({
        "reason": order.reason.as_str(),
        "deadline": order.deadline.to_string(),
        // Outside EC2 there is no instance id.
        "instance_id": Some(instance_id).filter(|id| !id.is_empty()),
        "notice": order.reason.sentence(),
    });
    document.to_string()
}

#[cfg(test)]
mod tests {
    use machine::Time;
    use machine::notice::Reason;

    use super::*;

    /// A configured body may be JSON, and values are put into it as they are.
    #[test]
    fn values_need_no_escapes_in_json() {
        use Reason::*;
        let reasons = [
            AutoscalingTermination,
            WarmPool,
            RootVolumeReplacement,
            SpotInterruption,
            CapacityInterruption,
            CapacityBlockEnd,
            RebalanceRecommendation,
            ScheduledMaintenance,
            Standby,
            Detachment,
            Operator,
        ];
        let times = [0, 1_772_366_400_000, u64::MAX].map(|ms| Time::from_unix_ms(ms).to_string());
        let reasons = reasons.map(|reason| reason.as_str().to_owned());
        for value in reasons.into_iter().chain(times).chain(["i-0123456789abcdef0".to_owned()]) {
            let json = serde_json::Value::from(value.as_str()).to_string();
            assert_eq!(json, format!("\"{value}\""), "it is not escaped");
            assert!(HeaderValue::try_from(&value).is_ok(), "{value}");
        }
    }
}
