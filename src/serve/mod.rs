//! Serves the simulated world on loopback, in AWS's wire protocols, for the daemon and for any AWS client.
//!
//! # Layout
//!
//! - `service`: starts, drives and stops everything.
//! - `http`: the small HTTP server behind all listeners.
//! - `aws`: one port for Auto Scaling, target groups, SQS and STS, with `autoscaling`, `elb` (`query`, `xml`) and `sqs`
//!   (`queues`, `messages`).
//! - `imds`, `agent`: one port each per instance.

mod agent;
mod autoscaling;
mod aws;
mod elb;
mod http;
mod imds;
mod query;
mod service;
mod sqs;
mod xml;

pub use aws::permissions;
pub use service::{Addresses, Endpoints, Service};
