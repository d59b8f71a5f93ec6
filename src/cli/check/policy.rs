//! Reads from a queue's policy who may send. Pure.
//!
//! Ignores the conditions of Allow statements, because they name rules and accounts that are unknown here. Ignores Deny
//! statements that have conditions.

use serde_json::Value;

/// A permitted sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// An EventBridge rule.
    EventBridge,
    /// An SNS topic.
    Sns,
    /// Everyone that the conditions permit.
    Anyone,
    /// Another service, or an account.
    Other(String),
}

impl Sender {
    fn from_principal(principal: &str) -> Self {
        match principal {
            "events.amazonaws.com" => Sender::EventBridge,
            "sns.amazonaws.com" => Sender::Sns,
            "*" => Sender::Anyone,
            other => Sender::Other(other.to_owned()),
        }
    }

    /// The sender's name, for people.
    pub fn name(&self) -> &str {
        match self {
            Sender::EventBridge => "EventBridge",
            Sender::Sns => "SNS",
            Sender::Anyone => "anyone that the policy's conditions allow",
            Sender::Other(name) => name,
        }
    }
}

/// The senders that a policy in JSON permits for the queue of this ARN. An unreadable policy permits no sender.
pub fn senders(policy: &str, queue_arn: &str) -> Vec<Sender> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements: Vec<&Value> = one_or_many(&policy["Statement"]).collect();
    let of_effect = |effect: &'static str| {
        let to_send = |statement: &&&Value| {
            statement["Effect"] == effect
                && one_or_many(&statement["Action"]).any(is_sending)
                && one_or_many(&statement["Resource"]).any(|resource| matches(resource, queue_arn))
        };
        statements.iter().filter(to_send).map(|statement| &**statement).collect::<Vec<_>>()
    };
    let denied: Vec<Sender> =
        of_effect("Deny").into_iter().filter(|one| one["Condition"].is_null()).flat_map(principals).collect();
    let mut allowed: Vec<Sender> = Vec::new();
    for sender in of_effect("Allow").into_iter().flat_map(principals) {
        if !denied.contains(&Sender::Anyone) && !denied.contains(&sender) && !allowed.contains(&sender) {
            allowed.push(sender);
        }
    }
    allowed
}

fn principals(statement: &Value) -> Vec<Sender> {
    let principal = &statement["Principal"];
    let named = principal.as_object().into_iter().flat_map(|kinds| kinds.values()).flat_map(one_or_many);
    let bare = principal.as_str().into_iter();
    bare.chain(named.filter_map(Value::as_str)).map(Sender::from_principal).collect()
}

/// The elements of a list, or a single value. Policies allow both.
fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Value::Null => (None, None),
        Value::Array(many) => (None, Some(many)),
        one => (Some(one), None),
    };
    one.into_iter().chain(many.into_iter().flatten())
}

/// Whether an action is `sqs:SendMessage`, in any case, or a pattern that matches it.
fn is_sending(action: &Value) -> bool {
    let action = action.as_str().unwrap_or_default().to_ascii_lowercase();
    matches_pattern(&action, "sqs:sendmessage")
}

fn matches(pattern: &Value, text: &str) -> bool {
    matches_pattern(pattern.as_str().unwrap_or_default(), text)
}

/// IAM's patterns: `*` stands for anything, `?` for one character.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern.trim_start_matches('*');
            rest.is_empty() || text.char_indices().any(|(at, _)| matches_pattern(rest, &text[at..]))
        }
        Some(first) => text.chars().next().is_some_and(|c| {
            (first == '?' || first == c)
                && matches_pattern(&pattern[first.len_utf8()..], &text[c.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:workers-termination";

    fn of(statement: &str) -> Vec<Sender> {
        senders(&format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#), ARN)
    }

    #[test]
    fn allowed() {
        let cases = [
            (
                r#"{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}"#,
                vec![Sender::EventBridge],
            ),
            (
                r#"[{"Effect":"Allow","Principal":{"Service":["sns.amazonaws.com","s3.amazonaws.com"]},
                     "Action":["SQS:SendMessage"],"Resource":["arn:aws:sqs:*:*:workers-*"],"Condition":{}}]"#,
                vec![Sender::Sns, Sender::Other("s3.amazonaws.com".to_owned())],
            ),
            (r#"{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}"#, vec![Sender::Anyone]),
            (
                r#"{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sqs:Send*","Resource":"*"}"#,
                vec![Sender::Other("123456789012".to_owned())],
            ),
            (r#"{"Effect":"Allow","Principal":"*","Action":"sqs:ReceiveMessage","Resource":"*"}"#, vec![]),
            (
                r#"{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:eu-west-1:123456789012:other"}"#,
                vec![],
            ),
        ];
        for (statement, expected) in cases {
            assert_eq!(of(statement), expected, "{statement}");
        }
    }

    #[test]
    fn denied() {
        let allow = r#"{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}"#;
        let deny = r#"{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*"#;
        assert_eq!(of(&format!(r#"[{allow},{deny}"}}]"#)), []);
        let transport = r#"","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#;
        assert_eq!(of(&format!("[{allow},{deny}{transport}}}]")), [Sender::EventBridge]);
    }

    #[test]
    fn no_policy() {
        for policy in ["", "{}", "[]", "null", "not JSON", r#"{"Statement":{}}"#, r#"{"Statement":"x"}"#] {
            assert_eq!(senders(policy, ARN), [], "{policy}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**b", "ab", true),
            ("", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }
}
