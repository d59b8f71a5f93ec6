//! Adapters to AWS: the instance metadata service, Auto Scaling, Elastic Load Balancing and SQS. They do not retry.
//!
//! - `imds`: the instance metadata service.
//! - `clients`: the SDK's clients, and how long they are kept. `autoscaling`, `elb` and `sqs`: the calls.
//!   `elb_missing` replaces `elb` in builds without the feature `target-groups`.
//! - `connector`: sends every request of the SDK. `roots`: the certificates that it trusts. `proxy`: the proxy that it uses.
//!   `local`: where plain HTTP may go.
//! - `success` and `error`: classify responses.
//! - `queue_url`: the endpoint and the Region in a queue's URL.

pub mod autoscaling;
pub mod clients;
mod connector;
#[cfg(feature = "target-groups")]
pub mod elb;
#[cfg(not(feature = "target-groups"))]
#[path = "elb_missing.rs"]
pub mod elb;
mod error;
pub mod imds;
pub mod local;
mod proxy;
mod queue_url;
mod roots;
pub mod sqs;
mod success;

pub(crate) use error::{unsent, within};
