//! Text with placeholders such as `{reason}`.

/// The placeholders of the drain request's body.
pub(super) const OF_DRAIN: &[&str] = &["reason", "deadline", "instance_id"];

/// The placeholders of any other text. Only the drain request has a reason and a deadline.
pub(super) const OF_EVERY_REQUEST: &[&str] = &["instance_id"];

/// Text with placeholders. A placeholder is a name in braces, without spaces. Other braces are literal, so JSON can be written
/// as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(String);

impl Template {
    /// The template with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Template(text.into())
    }

    /// Whether it always gives the empty text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, if it has no placeholders.
    pub fn constant(&self) -> Option<&str> {
        self.unknown(&[]).is_none().then_some(&self.0)
    }

    /// The first placeholder that is not among these.
    pub(super) fn unknown(&self, known: &[&str]) -> Option<&str> {
        pieces(&self.0).into_iter().find_map(|piece| match piece {
            Piece::Placeholder(name) if !known.contains(&name) => Some(name),
            Piece::Placeholder(_) | Piece::Text(_) => None,
        })
    }

    /// The text with these values in place of the placeholders. The values themselves are not searched for placeholders.
    pub fn fill(&self, values: &[(&str, &str)]) -> String {
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let pieces = pieces(&self.0).into_iter();
        pieces
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Placeholder(name) => value(name).unwrap_or_default(),
            })
            .collect()
    }
}

/// A part of a template.
enum Piece<'a> {
    Text(&'a str),
    /// The name between the braces.
    Placeholder(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, inside) = (&rest[..open], &rest[open + 1..]);
        let end = inside.find(|c: char| !is_name_char(c)).unwrap_or(inside.len());
        if end > 0 && inside[end..].starts_with('}') {
            pieces.extend([Piece::Text(before), Piece::Placeholder(&inside[..end])]);
            rest = &inside[end + 1..];
        } else {
            pieces.push(Piece::Text(&rest[..=open]));
            rest = inside;
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// Includes the characters of likely misspellings, such as `{Instance-Id}`.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_in_braces_are_placeholders() {
        let values = [("reason", "operator"), ("instance_id", "{reason}"), ("deadline", "")];
        for (text, filled) in [
            ("", ""),
            ("{reason}", "operator"),
            ("{reason}{reason}", "operatoroperator"),
            ("{\"why\":\"{reason}\"}", "{\"why\":\"operator\"}"),
            ("{\"a\":{\"b\":{}}}", "{\"a\":{\"b\":{}}}"),
            ("{{reason}}", "{operator}"),
            ("{ reason }", "{ reason }"),
            ("{reason", "{reason"),
            ("{reason {reason}", "{reason operator"),
            ("{é}", "{é}"),
            ("a{deadline}b", "ab"),
            ("{instance_id}", "{reason}"),
        ] {
            let template = Template::new(text);
            assert_eq!(template.unknown(OF_DRAIN), None, "{text}");
            assert_eq!(template.fill(&values), filled, "{text}");
        }
    }

    #[test]
    fn unknown_placeholders() {
        for (text, unknown) in [
            ("{reason} {region}", "region"),
            ("{Reason}", "Reason"),
            ("{instance-id}", "instance-id"),
            ("{\"a\":{b}}", "b"),
        ] {
            assert_eq!(Template::new(text).unknown(OF_DRAIN), Some(unknown), "{text}");
        }
        assert_eq!(Template::new("{reason}").unknown(OF_EVERY_REQUEST), Some("reason"));
        assert_eq!(Template::new("{ reason }").constant(), Some("{ reason }"));
        assert_eq!(Template::new("{reason}").constant(), None);
    }
}
