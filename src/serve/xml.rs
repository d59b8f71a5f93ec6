//! Writes the XML of the Query protocol.

/// An element that contains text.
pub(super) fn leaf(name: &str, text: impl ToString) -> String {
    format!("<{name}>{}</{name}>", escape(&text.to_string()))
}

/// An element that contains text, or an empty string for `None`.
pub(super) fn optional(name: &str, text: Option<impl ToString>) -> String {
    text.map(|text| leaf(name, text)).unwrap_or_default()
}

/// An element that contains elements.
pub(super) fn node(name: &str, children: impl IntoIterator<Item = String>) -> String {
    let inner: String = children.into_iter().collect();
    format!("<{name}>{inner}</{name}>")
}

/// A list, with each item inside a `member` element.
pub(super) fn list(name: &str, items: impl IntoIterator<Item = String>) -> String {
    node(name, items.into_iter().map(|item| format!("<member>{item}</member>")))
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text() {
        assert_eq!(leaf("A", "<b> & \"c\""), "<A>&lt;b&gt; &amp; &quot;c&quot;</A>");
        assert_eq!(list("L", [leaf("A", 1)]), "<L><member><A>1</A></member></L>");
    }
}
