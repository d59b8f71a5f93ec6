//! Reads requests of the Query protocol.

use std::collections::BTreeMap;
use std::str::FromStr;

use sim::world::ApiError;

/// The longest list that is read. Lists are numbered from 1.
const LIST_LEN_MAX: usize = 1000;

/// The parameters of one call.
#[derive(Debug)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    pub(super) fn parse(form: &[u8]) -> Self {
        Params(form_urlencoded::parse(form).into_owned().collect())
    }

    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.optional(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            ApiError::validation(format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                member_name(name)
            ))
        })
    }

    /// A required number or Boolean.
    pub(super) fn number<T: FromStr + Default>(&self, name: &str) -> Result<T, ApiError> {
        self.required(name)?;
        Ok(self.parsed(name)?.unwrap_or_default())
    }

    /// An optional number or Boolean.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        let malformed =
            || ApiError::sender("MalformedInput", format!("Unexpected value '{text}' for {name}"));
        text.parse().map(Some).map_err(|_| malformed())
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        (1..=LIST_LEN_MAX).map_while(|index| self.owned(&format!("{name}.member.{index}"))).collect()
    }

    /// The prefixes of a list of structures, up to the first one without `field`.
    pub(super) fn structures(&self, name: &str, field: &str) -> Vec<String> {
        let prefixes = (1..=LIST_LEN_MAX).map(|index| format!("{name}.member.{index}."));
        prefixes.take_while(|prefix| self.0.contains_key(&format!("{prefix}{field}"))).collect()
    }

    /// Whether any parameter's name has this prefix.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }
}

/// AWS's error for an unknown action, with a list of the actions that the simulator serves.
pub(super) fn unknown_action(
    action: &str,
    version: &str,
    served: impl Iterator<Item = &'static str>,
) -> ApiError {
    let served = served.collect::<Vec<_>>().join(", ");
    ApiError::sender(
        "InvalidAction",
        format!("Could not find operation {action} for version {version}; this simulator serves {served}"),
    )
}

/// AWS's errors name members with a lowercase first letter.
fn member_name(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}
