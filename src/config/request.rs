//! A request that changes an agent with an HTTP interface: the drain request, or the return request.

use super::template::Template;

/// A request that changes an agent. Only the drain request may have the agent protocol's document as its [`Body`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<B = Template> {
    /// Its method.
    pub method: Method,
    /// Its path, appended to the agent's URL.
    pub path: String,
    /// Its body. Methods without a body send none.
    pub body: B,
    /// The status codes that mean success, besides 2xx.
    pub success: Vec<u16>,
}

impl Request {
    /// Whether this request of one agent, sent in place of its drain request, might be taken for that one.
    pub(super) fn resembles(&self, drain: &Request<Body>) -> bool {
        let is_text = matches!(&drain.body, Body::Text(text) if *text == self.body);
        let says_less = !self.method.has_body() || self.body.is_empty() || is_text;
        (self.method, &self.path) == (drain.method, &drain.path) && says_less
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `GET`, which has no body.
    Get,
    /// `DELETE`, which has no body.
    Delete,
}

impl Method {
    /// The names of all methods.
    pub(super) const NAMES: &[&str] = &["POST", "PUT", "PATCH", "GET", "DELETE"];

    /// The method with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [Method::Post, Method::Put, Method::Patch, Method::Get, Method::Delete];
        all.into_iter().find(|method| method.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Get => "GET",
            Method::Delete => "DELETE",
        }
    }

    /// Whether requests with this method have a body.
    pub fn has_body(self) -> bool {
        match self {
            Method::Post | Method::Put | Method::Patch => true,
            Method::Get | Method::Delete => false,
        }
    }
}

/// The body of a drain request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The agent protocol's document.
    Document,
    /// This text. Empty: no body.
    Text(Template),
}
