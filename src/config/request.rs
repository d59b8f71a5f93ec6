//! A request that changes an agent with an HTTP interface: the drain request, or the one that returns it to service.

use super::template::Template;

/// A request that changes an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path, appended to the agent's URL.
    pub path: String,
    /// Its body. Methods without a body send none.
    pub body: Body,
    /// The status codes that mean success, besides 2xx.
    pub success: Vec<u16>,
}

impl Request {
    /// Whether this request of one agent, sent in place of another, might be taken for that one.
    pub(super) fn resembles(&self, other: &Request) -> bool {
        let says_less = !self.method.has_body() || self.body.is_empty() || self.body == other.body;
        (self.method, &self.path) == (other.method, &other.path) && says_less
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

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The agent protocol's document.
    Document,
    /// This text. Empty: no body.
    Text(Template),
}

impl Body {
    /// Whether nothing is sent.
    pub fn is_empty(&self) -> bool {
        match self {
            Body::Document => false,
            Body::Text(text) => text.is_empty(),
        }
    }
}
