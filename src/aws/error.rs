//! Classifies failed calls to AWS. No other module does.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::connector::Failure;
use crate::http::{causes, find};
use formats::text::printable;
use machine::event::{CallError, CallErrorKind};

/// The longest error message of AWS that is quoted, in characters.
const MESSAGE_MAX: usize = 600;

/// The longest error code that is quoted, in characters.
const CODE_MAX: usize = 100;

/// Turns an SDK error into a `CallError` that says what was tried, what came back and what to do.
///
/// `call` is the IAM action, such as `autoscaling:CompleteLifecycleAction`.
pub(super) fn classify<E>(call: &str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let (kind, advice) = match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            // Without a message from AWS, the SDK's error says what it could not parse.
            let cause = causes(service.err());
            let message = service.err().message().unwrap_or(&cause);
            return refusal(call, &Answer { status, code, message });
        }
        SdkError::ConstructionFailure(_) if has_no_credentials(error) => NO_CREDENTIALS,
        SdkError::ConstructionFailure(_) => (CallErrorKind::Unsent, "it was not sent"),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) if has_no_credentials(connector) => NO_CREDENTIALS,
            Some(connector) => match connector.source().and_then(|cause| cause.downcast_ref::<Failure>()) {
                // The message is already complete.
                Some(failure) => {
                    let kind = if failure.unsent { CallErrorKind::Unsent } else { CallErrorKind::Unanswered };
                    return CallError { kind, message: format!("{call}: {}", causes(failure)) };
                }
                // The SDK failed before the HTTP client had the request (endpoint, signature).
                None if is_of_sdk(connector) => (
                    CallErrorKind::Unsent,
                    "it was not sent; check the instance's role, the Region and the network path to the endpoint",
                ),
                None => (CallErrorKind::Unanswered, "it may have taken effect"),
            },
            None => (CallErrorKind::Unanswered, "it may have taken effect"),
        },
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            (CallErrorKind::Unanswered, "it may have taken effect")
        }
        // The SDK may add kinds of error. Nothing is known about those.
        _ => (CallErrorKind::Unanswered, "it may have taken effect"),
    };
    let cause = causes(error);
    CallError { kind, message: format!("{}: {cause}; {advice}", call) }
}

/// The error of a call that cannot be sent.
pub fn unsent(message: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::Unsent, message: message.into() }
}

/// Makes a call within a time limit.
pub async fn within<T>(
    limit: Duration,
    call: &str,
    result: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(limit, result).await.unwrap_or_else(|_| {
        let message = format!(
            "{call}: no answer within {limit:?}; check that the instance can reach the service's endpoint (through a NAT \
             gateway or a VPC endpoint)"
        );
        Err(CallError { kind: CallErrorKind::Unanswered, message })
    })
}

const NO_CREDENTIALS: (CallErrorKind, &str) = (
    CallErrorKind::Credentials,
    "it was not sent; give the instance a role (an instance profile), and let the daemon reach IMDS",
);

/// Whether the SDK found no credentials. Deeper causes do not matter: credentials come over HTTP too.
fn has_no_credentials(error: &(dyn Error + 'static)) -> bool {
    find::<CredentialsError>(error).is_some()
}

fn is_of_sdk(error: &ConnectorError) -> bool {
    error.is_user() || (error.is_other() && error.as_other().is_none())
}

/// An error response of AWS.
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
        CallErrorKind::AccessDenied => format!("; {}", permission(call, message)),
        CallErrorKind::NoActiveAction
        | CallErrorKind::Throttled
        | CallErrorKind::Credentials
        | CallErrorKind::Unsent
        | CallErrorKind::Unanswered
        | CallErrorKind::Rejected => advice.to_owned(),
    };
    CallError { kind, message: format!("{}: answered {status}{named}: {told}{advice}", call) }
}

/// Which permission to grant. AWS's message may name another action than the call.
fn permission(call: &str, message: &str) -> String {
    let denied = message.split_once("not authorized to perform: ").map(|(_, rest)| rest);
    let denied = denied.and_then(|rest| rest.split([' ', ',']).next()).filter(|action| is_action(action));
    // Some denials by KMS do not name the action.
    let of_key = message.contains("customer master key") || message.contains("KMS key");
    let action = match denied {
        // SQS writes its own actions in lowercase.
        Some(denied) if denied.eq_ignore_ascii_case(call) => call,
        Some(denied) => denied,
        None if of_key => "kms:Decrypt",
        None => call,
    };
    if message.contains("with an explicit deny") {
        return format!("a policy explicitly denies {action}: change the policy that the message names");
    }
    if action.starts_with("kms:") {
        return format!("allow {action} on the queue's key, in the role's policy and in the key policy");
    }
    format!("allow {action} in the role's policy")
}

/// `service:Action`
fn is_action(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= CODE_MAX
        && text.split_once(':').is_some_and(|(service, name)| is_word(service) && is_word(name))
}

/// The kind of an error and, where it is not obvious, what to do.
fn kind_of(answer: &Answer<'_>) -> (CallErrorKind, &'static str) {
    let Answer { status, code, message } = *answer;
    // Services prefix codes in different ways: `com.amazonaws.sqs#QueueDoesNotExist`, `AWS.SimpleQueueService.…`.
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
        // The Query protocol and JSON use different names. Sources: the Common Errors page of each service, and SQS's
        // responses in aws-sdk-go#4879, aws-sdk-ruby#108 and localstack#3562.
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => CREDENTIALS,
        "RequestExpired"
        | "RequestTimeTooSkewed"
        | "RequestInTheFuture"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => {
            (CallErrorKind::Credentials, "; check the clock, and the credentials")
        }
        _ if message.starts_with("The security token included in the request is") => CREDENTIALS,
        "QueueDoesNotExist" | "NonExistentQueue" => (
            CallErrorKind::Rejected,
            "; check queue.url and the Region, and that the role can access the queue",
        ),
        "TargetGroupNotFound" => (CallErrorKind::Rejected, "; check target_group.arn"),
        _ if message.contains("not authorized to perform") => (CallErrorKind::AccessDenied, ""),
        _ if message.starts_with("Rate exceeded") || status == 429 => (CallErrorKind::Throttled, ""),
        _ if (300..400).contains(&status) => {
            (CallErrorKind::Unanswered, "; AWS never redirects calls: check the proxy and the endpoint")
        }
        // An unreadable success, or a server error, is not a rejection.
        _ if !(400..500).contains(&status) => (CallErrorKind::Unanswered, "; it may have taken effect"),
        _ => (CallErrorKind::Rejected, ""),
    }
}

const CREDENTIALS: (CallErrorKind, &str) = (
    CallErrorKind::Credentials,
    "; the credentials have expired or are not valid: check their source and the clock",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_named_by_the_message() {
        let call = "sqs:ReceiveMessage";
        let key = "arn:aws:kms:eu-west-1:123456789012:key/0a1b";
        for (message, expected) in [
            (String::new(), "allow sqs:ReceiveMessage in the role's policy"),
            (
                "User: x is not authorized to perform: sqs:receivemessage on resource: q".to_owned(),
                "allow sqs:ReceiveMessage in the role's policy",
            ),
            ("Access to the resource is denied.".to_owned(), "allow sqs:ReceiveMessage in the role's policy"),
            (
                format!(
                    "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:Decrypt on resource: {key} \
                     because no identity-based policy allows the kms:Decrypt action"
                ),
                "allow kms:Decrypt on the queue's key, in the role's policy and in the key policy",
            ),
            (
                "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or \
                 you are not allowed to access."
                    .to_owned(),
                "allow kms:Decrypt on the queue's key, in the role's policy and in the key policy",
            ),
            (
                "User: x is not authorized to perform: sqs:ReceiveMessage on resource: q with an explicit deny in a \
                 service control policy"
                    .to_owned(),
                "a policy explicitly denies sqs:ReceiveMessage: change the policy that the message names",
            ),
            (
                "User: x is not authorized to perform: <script> on y".to_owned(),
                "allow sqs:ReceiveMessage in the role's policy",
            ),
        ] {
            assert_eq!(permission(call, &message), expected, "{message}");
        }
    }

    #[test]
    fn kinds() {
        use CallErrorKind::{AccessDenied, Credentials, NoActiveAction, Rejected, Throttled, Unanswered};
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
            (400, "KMS.AccessDeniedException", "", AccessDenied),
            (403, "ExpiredToken", "", Credentials),
            (403, "com.amazon.coral.service#ExpiredTokenException", "", Credentials),
            (403, "InvalidClientTokenId", "", Credentials),
            (400, "com.amazon.coral.service#UnrecognizedClientException", "", Credentials),
            (403, "InvalidAccessKeyId", "", Credentials),
            (403, "MissingAuthenticationToken", "", Credentials),
            (401, "AuthFailure", "", Credentials),
            (403, "SignatureDoesNotMatch", "", Credentials),
            (403, "InvalidSignatureException", "", Credentials),
            (400, "RequestExpired", "", Credentials),
            (403, "Other", "The security token included in the request is expired", Credentials),
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
