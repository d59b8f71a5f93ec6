//! How a command is written: a program and its arguments.

/// Reads a program and its arguments, written as a JSON array. A program without arguments may be written as it is.
pub(super) fn parse(text: &str) -> Result<Vec<String>, &'static str> {
    let words: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_| "it is not a list of strings")?
    } else if text.contains(char::is_whitespace) {
        return Err("it has spaces; the program and each argument are strings of a list");
    } else {
        vec![text.to_owned()]
    };
    match words.first() {
        None => Err("the list is empty"),
        Some(program) if !program.starts_with('/') => Err("the path of its program is not absolute"),
        // No shell runs it, so nothing would undo quotes or control characters.
        Some(_) if words.iter().any(|word| word.chars().any(char::is_control)) => {
            Err("it has control characters")
        }
        Some(_) => Ok(words),
    }
}
