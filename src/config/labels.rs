//! How labels of a metric are written: as an inline table of TOML, such as `{ queue = "default" }`.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// Reads labels.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let document = format!("labels = {text}");
    let document = DeTable::parse(&document).map_err(|_| "it is not a table")?;
    match document.get_ref().get("labels").map(toml::Spanned::get_ref) {
        Some(DeValue::Table(labels)) => of_table(labels),
        Some(_) | None => Err("it is not a table"),
    }
}

/// The labels in a table of a file.
pub(super) fn of_table(table: &DeTable<'_>) -> Result<BTreeMap<String, String>, &'static str> {
    let labels = table.iter().map(|(name, value)| {
        let name = name.get_ref().to_string();
        let value = value.get_ref().as_str().ok_or("a label's value is not a string")?;
        if is_label_name(&name) { Ok((name, value.to_owned())) } else { Err("a label has a wrong name") }
    });
    labels.collect()
}

/// The text that `parse` reads as these labels.
pub(super) fn written(labels: &BTreeMap<String, String>) -> String {
    // TOML's basic strings have the same escapes as JSON's.
    let pair =
        |(name, value): (&String, &String)| format!("{name} = {}", serde_json::Value::from(value.as_str()));
    format!("{{ {} }}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// Prometheus, "Metric names and labels".
fn is_label_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
