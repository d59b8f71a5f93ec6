//! Judges the queue's settings. Pure.
//!
//! `VisibilityTimeout` and `ReceiveMessageWaitTimeSeconds` do not matter, because every receive sets its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::part::Part;
use super::policy::{self, Sender};
use crate::cli::output::counted;
use crate::cli::output::whole;

/// The longest retention that is not a warning. Every draining instance of the group receives an unclaimed message repeatedly.
const RETENTION_MAX: Duration = Duration::from_secs(86_400);

/// The shortest retention that is not a warning. IMDS is silent for a minute before the daemon polls the queue, and the daemon
/// may restart meanwhile.
const RETENTION_MIN: Duration = Duration::from_secs(300);

/// Judges the result of GetQueueAttributes. `targets` are the ARNs that the group's terminating hooks notify directly, or `None`
/// if they are unknown.
pub fn judge(url: &str, all: &BTreeMap<String, String>, targets: Option<&[&str]>) -> Part {
    let text = |name: &str| all.get(name).map(String::as_str).unwrap_or_default();
    let seconds = |name: &str| text(name).parse().ok().map(Duration::from_secs);
    let arn = text("QueueArn");
    let waiting = text("ApproximateNumberOfMessages").parse().ok();
    let waiting = waiting.map_or_else(|| "unknown messages".to_owned(), |count| counted(count, "message"));
    let set =
        |attribute: &str| format!("aws sqs set-queue-attributes --queue-url {url} --attributes {attribute}");
    let senders = policy::senders(text("Policy"), arn);
    let mut part = Part::ok("queue", format!("{arn}, {waiting}, {}", told_by(&senders, targets, arn)));
    if let Some(retention) = seconds("MessageRetentionPeriod") {
        if retention > RETENTION_MAX {
            part = part.warning(format!(
                "it keeps unclaimed messages for {}, and every draining instance receives them repeatedly; lower the \
                 retention: {}",
                whole(retention),
                set(&format!("MessageRetentionPeriod={}", RETENTION_MAX.as_secs()))
            ));
        } else if retention < RETENTION_MIN {
            part = part.warning(format!(
                "it keeps messages for only {}, so a daemon that restarts can miss its own; raise the retention: {}",
                whole(retention),
                set(&format!("MessageRetentionPeriod={}", RETENTION_MIN.as_secs()))
            ));
        }
    }
    if let Some(delay) = seconds("DelaySeconds").filter(|delay| !delay.is_zero()) {
        let advice = format!("it delays every message by {}; run {}", whole(delay), set("DelaySeconds=0"));
        part = part.warning(advice);
    }
    if !text("RedrivePolicy").is_empty() {
        part = part.warning(format!(
            "it has a redrive policy; receives by other instances count, so a message can move to the dead-letter queue before \
             its own instance has seen it; remove the redrive policy: {}",
            set(r#"'{"RedrivePolicy":""}'"#)
        ));
    }
    if text("FifoQueue") == "true" {
        part = part.failed(
            "it is a FIFO queue, but lifecycle hooks notify only standard queues; create a standard queue, \
             and set queue.url to it",
        );
    }
    if is_key_of_sqs(text("KmsMasterKeyId")) {
        part = readable(part, &senders, targets, arn);
    }
    fed(part, &senders, targets, arn)
}

/// Whether a key is the AWS managed key for SQS, by its alias or the alias's ARN.
fn is_key_of_sqs(key: &str) -> bool {
    key == KEY_OF_SQS || key.rsplit_once(':').is_some_and(|(_, alias)| alias == KEY_OF_SQS)
}

/// The AWS managed key for SQS. Its policy permits only the account's own roles, and cannot be changed.
const KEY_OF_SQS: &str = "alias/aws/sqs";

/// Whether the queue's senders may use the AWS managed key.
fn readable(part: Part, senders: &[Sender], targets: Option<&[&str]>, arn: &str) -> Part {
    let services: Vec<&str> = senders
        .iter()
        .filter(|sender| match sender {
            Sender::EventBridge | Sender::Sns => true,
            Sender::Anyone | Sender::Other(_) => false,
        })
        .map(Sender::name)
        .collect();
    if services.is_empty() {
        return part;
    }
    let advice = format!(
        "it is encrypted under {KEY_OF_SQS}, which {} may not use, so no message from there will arrive; replace \
         KmsMasterKeyId with SqsManagedSseEnabled=true, or use a key of your own whose policy allows {} \
         kms:GenerateDataKey and kms:Decrypt",
        services.join(" and "),
        if services.len() == 1 { "it" } else { "them" }
    );
    // The hook itself sends with a role of the account, which may use the key.
    if is_direct(targets, arn) { part.warning(advice) } else { part.failed(advice) }
}

/// The permitted senders, for the table.
fn told_by(senders: &[Sender], targets: Option<&[&str]>, arn: &str) -> String {
    let mut names: Vec<&str> = senders.iter().map(Sender::name).collect();
    if is_direct(targets, arn) {
        names.push("the hook itself");
    }
    if names.is_empty() { "no sender".to_owned() } else { format!("fed by {}", names.join(" and ")) }
}

fn is_direct(targets: Option<&[&str]>, arn: &str) -> bool {
    targets.is_some_and(|targets| targets.contains(&arn))
}

/// Checks whether lifecycle messages can arrive.
fn fed(part: Part, senders: &[Sender], targets: Option<&[&str]>, arn: &str) -> Part {
    let by_rule = senders.iter().any(|sender| match sender {
        Sender::EventBridge | Sender::Sns | Sender::Anyone => true,
        Sender::Other(_) => false,
    });
    if by_rule || is_direct(targets, arn) {
        return part;
    }
    let advice =
        "its policy lets neither EventBridge (events.amazonaws.com) nor SNS (sns.amazonaws.com) send";
    match targets {
        // A hook that notifies the queue sends with a role of its own. The queue's policy does not show it.
        None => part
            .warning(format!("{advice}; no message will arrive unless the hook itself notifies the queue")),
        Some(targets) => {
            let elsewhere = targets.first().map(|to| format!(", and notifies {to} instead"));
            part.failed(format!(
                "{advice}, and no terminating hook notifies it directly{}, so no message will arrive; in the queue's policy, \
                 allow one of them sqs:SendMessage",
                elsewhere.unwrap_or_default()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::part::State;

    const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:q";

    fn policy(service: &str) -> String {
        format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sqs:SendMessage","Resource":"{ARN}"}}]}}"#
        )
    }

    fn good() -> BTreeMap<String, String> {
        let all = [
            ("QueueArn", ARN.to_owned()),
            ("ApproximateNumberOfMessages", "0".to_owned()),
            ("MessageRetentionPeriod", "3600".to_owned()),
            ("DelaySeconds", "0".to_owned()),
            ("VisibilityTimeout", "30".to_owned()),
            ("Policy", policy("events.amazonaws.com")),
        ];
        all.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[test]
    fn a_good_queue() {
        let found = format!("{ARN}, 0 messages, fed by EventBridge");
        assert_eq!(judge("URL", &good(), Some(&[])), Part::ok("queue", found));
    }

    #[test]
    fn one_message() {
        let mut all = good();
        all.insert("ApproximateNumberOfMessages".to_owned(), "1".to_owned());
        assert_eq!(judge("URL", &all, Some(&[])).found, format!("{ARN}, 1 message, fed by EventBridge"));
    }

    #[test]
    fn each_setting() {
        for (name, value, state, expected) in [
            ("MessageRetentionPeriod", "345600", State::Warning, "--attributes MessageRetentionPeriod=86400"),
            ("MessageRetentionPeriod", "60", State::Warning, "for only 1m"),
            (
                "DelaySeconds",
                "90",
                State::Warning,
                "by 1m30s; run aws sqs set-queue-attributes --queue-url URL",
            ),
            ("RedrivePolicy", r#"{"maxReceiveCount":3}"#, State::Warning, "dead-letter"),
            ("FifoQueue", "true", State::Failed, "standard"),
        ] {
            let mut all = good();
            all.insert(name.to_owned(), value.to_owned());
            let part = judge("URL", &all, Some(&[]));
            assert_eq!(part.state, state, "{name}");
            assert!(part.advice[0].contains(expected), "{part:?}");
        }
    }

    #[test]
    fn keys_that_the_senders_may_not_use() {
        let with = |key: &str, policy: String, targets: &[&str]| {
            let mut all = good();
            all.insert("KmsMasterKeyId".to_owned(), key.to_owned());
            all.insert("Policy".to_owned(), policy);
            judge("URL", &all, Some(targets))
        };
        let events = || policy("events.amazonaws.com");
        for key in ["alias/aws/sqs", "arn:aws:kms:eu-west-1:123456789012:alias/aws/sqs"] {
            let part = with(key, events(), &[]);
            assert_eq!(part.state, State::Failed, "{key}");
            assert!(part.advice[0].contains("EventBridge may not use"), "{part:?}");
            assert!(part.advice[0].contains("SqsManagedSseEnabled"), "{part:?}");
        }
        assert_eq!(with("alias/aws/sqs", policy("sns.amazonaws.com"), &[]).state, State::Failed);
        assert_eq!(with("alias/aws/sqs", String::new(), &[ARN]).state, State::Ok, "the hook's role may");
        assert_eq!(
            with("alias/aws/sqs", events(), &[ARN]).state,
            State::Warning,
            "the hook's messages arrive"
        );
        for other in ["", "alias/my/sqs", "alias/aws/sqs2", "0a1b2c3d-0000-0000-0000-000000000000"] {
            assert_eq!(with(other, events(), &[]).state, State::Ok, "{other}");
        }
    }

    #[test]
    fn permitted_senders() {
        let with = |policy: &str, targets: Option<&[&str]>| {
            let mut all = good();
            all.insert("Policy".to_owned(), policy.to_owned());
            let part = judge("URL", &all, targets);
            (part.state, part.found, part.advice.join(" "))
        };
        assert_eq!(with("", Some(&[ARN])).0, State::Ok, "the hook sends to it");
        assert!(with("", Some(&[ARN])).1.ends_with("fed by the hook itself"));
        assert_eq!(with("", None).0, State::Warning, "the hook may send to it");
        let none = with("", Some(&[]));
        assert_eq!((none.0, none.1.ends_with("no sender")), (State::Failed, true));
        let others = with(&policy("s3.amazonaws.com"), Some(&["arn:aws:sns:eu-west-1:123456789012:t"]));
        assert_eq!(others.0, State::Failed);
        assert!(others.1.ends_with("fed by s3.amazonaws.com"), "{others:?}");
        assert!(others.2.contains("notifies arn:aws:sns:eu-west-1:123456789012:t instead"), "{others:?}");
        assert_eq!(with(&policy("sns.amazonaws.com"), Some(&[])).0, State::Ok);
    }
}
