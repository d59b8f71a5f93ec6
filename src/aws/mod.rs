//! Adapters to AWS. They make no decisions and retry nothing: they turn AWS into the machine's words.

pub mod autoscaling;
pub mod clients;
pub mod error;
pub mod imds;
pub mod sqs;
