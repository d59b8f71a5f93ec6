//! What follows from a failed call to AWS: the one place that classifies them.

use std::error::Error;

use aws_sdk_sqs::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hyper_util::client::legacy;

use crate::http::causes;
use formats::text::printable;
use machine::event::{CallError, CallErrorKind};

/// How much of AWS's own account of an error is told, in characters.
const MESSAGE_MAX: usize = 600;

/// How much of an error's code is told, in characters.
const CODE_MAX: usize = 100;

/// Turns an error of the SDK into the machine's words: what was tried, what came back, what to do.
///
/// The call goes by its IAM action, such as `autoscaling:CompleteLifecycleAction`.
pub(super) fn classify<E>(call: &str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let (kind, advice) = match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            // Where AWS did not say anything, or something else answered, the SDK says what it could not read.
            let cause = causes(service.err());
            let message = service.err().message().unwrap_or(&cause);
            return refusal(call, &Answer { status, code, message });
        }
        SdkError::ConstructionFailure(_) => (CallErrorKind::Unsent, "it was not sent"),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) if unsent(connector) => (
                CallErrorKind::Unsent,
                "it was not sent; check the instance's role, the Region and the way to the endpoint",
            ),
            _ => (CallErrorKind::Unanswered, "it may have taken effect"),
        },
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            (CallErrorKind::Unanswered, "it may have taken effect")
        }
        // The SDK may grow kinds of error: those are the ones of which nothing is known.
        _ => (CallErrorKind::Unanswered, "it may have taken effect"),
    };
    let cause = causes(error);
    CallError { kind, message: format!("{}: {cause}; {advice}", call) }
}

/// Whether a success is AWS's own, which every answer of AWS shows by its request id. A proxy's sign-in page is a 200
/// as well, and of these calls the SDK reads nothing but the status.
pub(super) fn from_aws(call: &str, answer: &impl RequestId) -> Result<(), CallError> {
    if answer.request_id().is_some() {
        return Ok(());
    }
    let message = format!(
        "{call}: answered 200 without a request id, so it was not AWS that answered; check the proxy and the endpoint"
    );
    Err(CallError { kind: CallErrorKind::Unanswered, message })
}

/// Whether a request that could not be dispatched never left.
fn unsent(error: &ConnectorError) -> bool {
    // Once an HTTP client has the request, the error is that client's own; before that (credentials, endpoint,
    // signature) it is the SDK's. The causes further down may be anything: credentials come over HTTP too.
    match error.source().and_then(|source| source.downcast_ref::<legacy::Error>()) {
        Some(client) => client.is_connect(),
        None => error.is_user() || (error.is_other() && error.as_other().is_none()),
    }
}

/// An error that AWS answered with.
struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
}

fn refusal(call: &str, answer: &Answer<'_>) -> CallError {
    let Answer { status, code, message } = answer;
    let (kind, advice) = kind_of(answer);
    let told = printable(message, MESSAGE_MAX);
    let named = if code.is_empty() { String::new() } else { format!(" {}", printable(code, CODE_MAX)) };
    let advice = match kind {
        CallErrorKind::AccessDenied => format!("; allow {} in the role's policy", call),
        CallErrorKind::NoActiveAction
        | CallErrorKind::Throttled
        | CallErrorKind::Credentials
        | CallErrorKind::Unsent
        | CallErrorKind::Unanswered
        | CallErrorKind::Rejected => advice.to_owned(),
    };
    CallError { kind, message: format!("{}: answered {status}{named}: {told}{advice}", call) }
}

/// What an error means, and what to do about it where that is not plain.
fn kind_of(answer: &Answer<'_>) -> (CallErrorKind, &'static str) {
    let Answer { status, code, message } = *answer;
    // Services qualify codes in their own ways: `com.amazonaws.sqs#QueueDoesNotExist`, `AWS.SimpleQueueService.…`.
    let bare = code.rsplit(['#', '.']).next().unwrap_or_default();
    match bare {
        "ValidationError" | "ValidationException" if message.contains("No active Lifecycle Action found") => {
            (CallErrorKind::NoActiveAction, "")
        }
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RateExceeded"
        | "TooManyRequestsException"
        | "KmsThrottled"
        | "SlowDown" => (CallErrorKind::Throttled, ""),
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "KmsAccessDenied"
        | "AuthorizationError" => (CallErrorKind::AccessDenied, ""),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "MissingAuthenticationToken" => (
            CallErrorKind::Unsent,
            "; the credentials have expired or are not valid: check where they come from, and the clock",
        ),
        "RequestExpired" | "RequestTimeTooSkewed" | "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            (CallErrorKind::Unsent, "; check the clock, and the credentials")
        }
        "QueueDoesNotExist" | "NonExistentQueue" => {
            (CallErrorKind::Rejected, "; check queue.url and the Region, and that the role may see the queue")
        }
        _ if message.contains("not authorized to perform") => (CallErrorKind::AccessDenied, ""),
        _ if message.starts_with("Rate exceeded") || status == 429 => (CallErrorKind::Throttled, ""),
        _ if (300..400).contains(&status) => {
            (CallErrorKind::Unanswered, "; AWS redirects none of its calls: check the proxy and the endpoint")
        }
        // A success that cannot be read is no refusal.
        _ if !(400..500).contains(&status) => (CallErrorKind::Unanswered, "; it may have taken effect"),
        _ => (CallErrorKind::Rejected, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        use CallErrorKind::{AccessDenied, NoActiveAction, Rejected, Throttled, Unanswered, Unsent};
        let no_action = "No active Lifecycle Action found with instance ID i-0123456789abcdef0";
        let cases = [
            (400, "ValidationError", no_action, NoActiveAction),
            (400, "ValidationError", "1 validation error detected", Rejected),
            (400, "Throttling", "Rate exceeded", Throttled),
            (400, "SomethingElse", "Rate exceeded", Throttled),
            (503, "RequestLimitExceeded", "", Throttled),
            (400, "RequestThrottled", "", Throttled),
            (403, "AccessDenied", "", AccessDenied),
            (400, "com.amazonaws.sqs#AccessDeniedException", "", AccessDenied),
            (400, "Other", "User: x is not authorized to perform: y", AccessDenied),
            (403, "ExpiredToken", "", Unsent),
            (403, "InvalidClientTokenId", "", Unsent),
            (400, "RequestExpired", "", Unsent),
            (500, "ResourceContention", "", Unanswered),
            (503, "ServiceUnavailable", "", Unanswered),
            (400, "AWS.SimpleQueueService.NonExistentQueue", "", Rejected),
            (404, "", "", Rejected),
            (200, "", "", Unanswered),
            (302, "", "", Unanswered),
        ];
        for (status, code, message, expected) in cases {
            assert_eq!(kind_of(&Answer { status, code, message }).0, expected, "{status} {code} {message}");
        }
    }
}
