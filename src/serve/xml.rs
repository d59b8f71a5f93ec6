//! Writes the XML of the Query protocol.

/// An element with text in it.
pub(super) fn leaf(name: &str, text: impl ToString) -> String {
    format!("<{name}>{}</{name}>", escape(&text.to_string()))
}

/// An element with text in it, or nothing.
pub(super) fn optional(name: &str, text: Option<impl ToString>) -> String {
    text.map(|text| leaf(name, text)).unwrap_or_default()
}

/// An element with elements in it.
pub(super) fn node(name: &str, children: impl IntoIterator<Item = String>) -> String {
    let inner: String = children.into_iter().collect();
    format!("<{name}>{inner}</{name}>")
}

/// A list: each item's elements inside a `member`.
pub(super) fn list(name: &str, items: impl IntoIterator<Item = String>) -> String {
    node(name, items.into_iter().map(|item| format!("<member>{item}</member>")))
}

fn escape(text: &str) -> String {
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
