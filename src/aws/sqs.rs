//! Calls to SQS, without retries.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message as SqsMessage, MessageSystemAttributeName,
    QueueAttributeName,
};

use super::clients::Clients;
use super::error::classify;
use formats::message;
use formats::text::{is_text, printable};
use machine::Time;
use machine::event::{CallError, CallErrorKind};
use machine::message::Message;

/// The most messages that a receive returns, and that a batch changes.
pub const BATCH_MAX: usize = 10;

/// The longest time that SQS holds a receive.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// The longest time that SQS hides a message: 12 hours.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(43_200);

/// The visibility timeout of a receive, within which the machine decides what to do with the messages.
pub const VISIBILITY_RECEIVED: Duration = Duration::from_secs(20);

/// The longest receipt handle that is accepted. SQS's handles have about 400 characters.
pub const RECEIPT_MAX: usize = 2048;

/// The longest reason for a failed entry that is quoted, in characters.
const REASON_MAX: usize = 100;

impl Clients {
    /// ReceiveMessage, for at most `most` messages. With `peek`, SQS does not hide them from others. Without it, do not drop the
    /// future once the request is sent: SQS hides the messages even if the response is not read.
    pub async fn receive(
        &self,
        queue_url: &str,
        wait: Duration,
        most: usize,
        peek: bool,
    ) -> Result<Vec<Message>, CallError> {
        let call = "sqs:ReceiveMessage";
        let request = self.sqs.receive_message().queue_url(queue_url);
        let request = request.max_number_of_messages(most.min(BATCH_MAX) as i32);
        let request = request.wait_time_seconds(whole_seconds(wait, WAIT_MAX));
        let hidden = if peek { Duration::ZERO } else { VISIBILITY_RECEIVED };
        let request = request.visibility_timeout(whole_seconds(hidden, VISIBILITY_MAX));
        let request = request.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = request.send().await.map_err(|error| classify(call, &error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(read).collect())
    }

    /// GetQueueAttributes: all attributes, by name.
    pub async fn queue_attributes(&self, queue_url: &str) -> Result<BTreeMap<String, String>, CallError> {
        let request = self.sqs.get_queue_attributes().queue_url(queue_url);
        let answer = request.attribute_names(QueueAttributeName::All).send().await;
        let answer = answer.map_err(|error| classify("sqs:GetQueueAttributes", &error))?;
        let all = answer.attributes.unwrap_or_default();
        Ok(all.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
    }

    /// ChangeMessageVisibilityBatch, for at most [`BATCH_MAX`] receipt handles. Fractions of a second are rounded up.
    pub async fn set_visibility(
        &self,
        queue_url: &str,
        entries: &[(String, Duration)],
    ) -> Result<(), CallError> {
        let call = "sqs:ChangeMessageVisibility";
        if entries.is_empty() {
            return Ok(());
        }
        let batch =
            entries.iter().zip(0..).map(|((receipt, visibility), id)| batch_entry(id, receipt, *visibility));
        let batch = batch.collect::<Result<Vec<_>, _>>().map_err(|error| CallError {
            kind: CallErrorKind::Rejected,
            message: format!("{}: {error}", call),
        })?;
        let request = self.sqs.change_message_visibility_batch().queue_url(queue_url);
        let answer = request.set_entries(Some(batch)).send().await.map_err(|error| classify(call, &error))?;
        let failed: Vec<String> = answer
            .failed()
            .iter()
            .map(|entry| {
                let reason =
                    format!("entry {}: {} {}", entry.id(), entry.code(), entry.message().unwrap_or_default());
                printable(&reason, REASON_MAX)
            })
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let (count, of) = (failed.len(), entries.len());
        let message = format!(
            "{}: {count} of {of} messages kept their old visibility timeout: {}; they become visible again on their own",
            call,
            failed.join(", ")
        );
        let kind = if answer.failed().iter().all(|entry| entry.sender_fault()) {
            CallErrorKind::Rejected
        } else {
            CallErrorKind::Unanswered
        };
        Err(CallError { kind, message })
    }

    /// DeleteMessage.
    pub async fn delete(&self, queue_url: &str, receipt: &str) -> Result<(), CallError> {
        let call = "sqs:DeleteMessage";
        let request = self.sqs.delete_message().queue_url(queue_url).receipt_handle(receipt);
        request.send().await.map(drop).map_err(|error| classify(call, &error))
    }
}

fn batch_entry(
    id: u32,
    receipt: &str,
    visibility: Duration,
) -> Result<ChangeMessageVisibilityBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
    ChangeMessageVisibilityBatchRequestEntry::builder()
        .id(id.to_string())
        .receipt_handle(receipt)
        .visibility_timeout(whole_seconds(visibility, VISIBILITY_MAX))
        .build()
}

/// `None` for a message without a usable receipt handle, which could be neither given back nor deleted. SQS sends none.
fn read(message: SqsMessage) -> Option<Message> {
    let sent = message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let sent = sent.and_then(|unix_ms| unix_ms.parse().ok()).map(Time::from_unix_ms);
    let body = message::read(message.body().unwrap_or_default());
    message.receipt_handle.filter(|receipt| is_text(receipt, RECEIPT_MAX)).map(|receipt| Message {
        receipt,
        sent,
        body: body.into(),
    })
}

/// Rounds up, because a message that becomes visible too early costs every instance a receive.
fn whole_seconds(duration: Duration, max: Duration) -> i32 {
    let seconds = duration.min(max).as_millis().div_ceil(1000);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_rounded_up_and_bounded() {
        let cases = [(0, 0), (1, 1), (1000, 1), (1001, 2), (43_200_000, 43_200), (u64::MAX, 43_200)];
        for (ms, expected) in cases {
            assert_eq!(whole_seconds(Duration::from_millis(ms), VISIBILITY_MAX), expected, "{ms} ms");
        }
    }
}
