//! Checks the termination queue: its settings, and what the role may do with it.

use std::time::Duration;

use super::part::Part;
use super::{NOT_ASKED, attributes, within};
use crate::aws::clients::Clients;
use crate::cli::output::counted;
use machine::event::{CallError, CallErrorKind, Hook};

/// A receipt handle that no message has.
const NO_RECEIPT: &str = "drainhook-check";

/// How SQS rejects it, once it has checked the caller's permission.
const NO_SUCH_RECEIPT: &str = "ReceiptHandleIsInvalid";

/// The queue's settings, and the permissions on it. `clients` is `None` without Region and credentials.
pub async fn look(clients: Option<&Clients>, url: Option<&str>, hooks: Option<&[Hook]>) -> Vec<Part> {
    let (clients, url) = match (clients, url) {
        (Some(clients), Some(url)) => (clients, url),
        (None, Some(_)) => return vec![Part::skipped("queue", NOT_ASKED)],
        (_, None) => return vec![Part::skipped("queue", "none is configured")],
    };
    let asked = within("sqs:GetQueueAttributes", clients.queue_attributes(url)).await;
    let waiting = asked.as_ref().ok().and_then(|all| all.get("ApproximateNumberOfMessages")?.parse().ok());
    let settings = match &asked {
        Ok(all) => {
            let targets: Option<Vec<&str>> = hooks.map(|hooks| {
                hooks
                    .iter()
                    .filter(|hook| hook.terminating)
                    .filter_map(|hook| hook.notification_target.as_deref())
                    .collect()
            });
            attributes::judge(url, all, targets.as_deref())
        }
        // The daemon does not need this permission.
        Err(error) if error.kind == CallErrorKind::AccessDenied => {
            Part::skipped("queue", format!("its settings are unknown: {error}"))
        }
        Err(error) => {
            Part::ok("queue", error.to_string()).failed("no message can be received; check queue.url")
        }
    };
    let reachable = asked.is_ok() || asked.is_err_and(|error| error.kind == CallErrorKind::AccessDenied);
    if !reachable {
        return vec![settings];
    }
    vec![settings, Box::pin(permissions(clients, url, waiting)).await]
}

/// Tries what the daemon does with messages, with a receipt handle that no message has. Receives only if the queue is empty,
/// because each receive counts against a message, and a redrive policy may move the message for it.
async fn permissions(clients: &Clients, url: &str, waiting: Option<u64>) -> Part {
    let receive = async {
        match waiting {
            Some(0) => {
                let receive = clients.receive(url, Duration::ZERO, 1, true);
                Some(within("sqs:ReceiveMessage", receive).await.map(drop))
            }
            Some(_) | None => None,
        }
    };
    let entries = [(NO_RECEIPT.to_owned(), Duration::ZERO)];
    let hide = within("sqs:ChangeMessageVisibility", clients.set_visibility(url, &entries));
    let delete = within("sqs:DeleteMessage", clients.delete(url, NO_RECEIPT));
    let (receive, hide, delete) = tokio::join!(receive, hide, delete);
    let part = Part::ok("queue permissions", "");
    let proves = |error: &CallError| error.message.contains(NO_SUCH_RECEIPT);
    let (part, receive) = match (receive, waiting) {
        (Some(result), _) => {
            let (part, receive) = part.tried(result, proves);
            (part, format!("receive {receive}"))
        }
        (None, Some(count)) => {
            let messages = counted(count, "message");
            (part, format!("receive not tried (it would count against {messages} in the queue)"))
        }
        (None, None) => {
            (part, "receive not tried (it would count against any message in the queue)".to_owned())
        }
    };
    let (part, hide) = part.tried(hide, proves);
    let (part, delete) = part.tried(delete, proves);
    Part { found: format!("{receive}, change of visibility {hide}, deletion {delete}"), ..part }
}
