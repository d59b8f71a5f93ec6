//! Errors, as AWS returns them.

use thiserror::Error;

/// An error of an AWS API.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The error code, such as `ValidationError`.
    pub code: &'static str,
    /// The error message.
    pub message: String,
}

impl ApiError {
    /// An error that the caller caused.
    pub fn sender(code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status: 400, code, message: message.into() }
    }

    /// Auto Scaling's answer to nearly every bad request.
    pub fn validation(message: impl Into<String>) -> Self {
        ApiError::sender("ValidationError", message)
    }

    /// A call that the caller's policies do not allow, in IAM's words.
    pub fn access_denied(
        status: u16,
        code: &'static str,
        caller: &str,
        action: &str,
        on: Option<&str>,
    ) -> Self {
        let resource = on.map_or_else(String::new, |arn| format!(" on resource: {arn}"));
        let message = format!(
            "User: {caller} is not authorized to perform: {action}{resource} because no identity-based policy allows the \
             {action} action"
        );
        ApiError { status, code, message }
    }

    /// A parameter that the service model does not allow, in the words that AWS services share.
    pub fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        ApiError::validation(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        ))
    }
}
