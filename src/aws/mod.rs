//! Adapters to AWS: the instance metadata service, and the calls to Auto Scaling and SQS. They retry nothing.
//!
//! - `imds`: the instance metadata service.
//! - `clients`: the SDK's clients, and how long they are kept; `autoscaling` and `sqs`: the calls.
//! - `connector`: sends every request of the SDK; `roots`, `proxy` and `local`: what it trusts, the way it takes, and
//!   where plain HTTP may go.
//! - `success` and `error`: what follows from an answer.
//! - `queue_url`: what a queue's URL says of its endpoint and Region.

pub mod autoscaling;
pub mod clients;
mod connector;
mod error;
pub mod imds;
pub mod local;
mod proxy;
mod queue_url;
mod roots;
pub mod sqs;
mod success;

pub(crate) use error::{unsent, within};
