//! Writes the result of a drill or of a judgment as JUnit XML, for CI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::summary::Verdict;

/// One test case.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Its result.
    pub result: Result,
}

/// The result of a test case.
#[derive(Debug)]
pub enum Result {
    /// It passed.
    Passed,
    /// It was skipped, and why.
    Skipped(String),
    /// It failed: a line, and the whole text.
    Failed(String, String),
}

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {error}", file.display())]
pub struct WriteError {
    file: PathBuf,
    error: std::io::Error,
}

/// Writes the cases of one suite to a file.
pub fn write(file: &Path, suite: &str, cases: &[Case]) -> std::result::Result<(), WriteError> {
    std::fs::write(file, document(suite, cases)).map_err(|error| WriteError { file: file.to_owned(), error })
}

/// The cases of a drill, by its expectations.
pub fn of_verdicts(verdicts: &[Verdict]) -> Vec<Case> {
    let case = |(name, holds): &Verdict| {
        let failed = || Result::Failed(name.clone(), "standard output has the verdict".to_owned());
        let result = if *holds { Result::Passed } else { failed() };
        Case { name: name.clone(), took: Duration::ZERO, result }
    };
    verdicts.iter().map(case).collect()
}

/// The cases of one suite as a document.
fn document(suite: &str, cases: &[Case]) -> String {
    let count = |such: fn(&Result) -> bool| cases.iter().filter(|case| such(&case.result)).count();
    let failures = count(|result| matches!(result, Result::Failed(..)));
    let skipped = count(|result| matches!(result, Result::Skipped(_)));
    let time = seconds(cases.iter().map(|case| case.took).sum());
    let suite = format!("drainhook.{}", escaped(suite));
    let counts = format!(
        "name=\"{suite}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time}\"",
        cases.len()
    );
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite {counts}>\n");
    for Case { name, took, result } in cases {
        let took = seconds(*took);
        let head = format!("    <testcase classname=\"{suite}\" name=\"{}\" time=\"{took}\"", escaped(name));
        text.push_str(&match result {
            Result::Passed => format!("{head}/>\n"),
            Result::Skipped(why) => {
                format!("{head}>\n      <skipped message=\"{}\"/>\n    </testcase>\n", escaped(why))
            }
            Result::Failed(line, whole) => format!(
                "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escaped(line),
                escaped(whole)
            ),
        });
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn seconds(took: Duration) -> String {
    format!("{:.3}", took.as_secs_f64())
}

/// Text for an element or an attribute. XML 1.0 has no way to write most control characters, so a question mark stands for each.
fn escaped(text: &str) -> String {
    let mut written = String::new();
    for char in text.chars() {
        match char {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\n' | '\t' => written.push(char),
            '\u{fffe}' | '\u{ffff}' => written.push('?'),
            char if char.is_control() => written.push('?'),
            char => written.push(char),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document() {
        let case =
            |name: &str, result| Case { name: name.to_owned(), took: Duration::from_millis(1500), result };
        let failed = Result::Failed("<html> & \"more\"\u{1b}".to_owned(), "a\nb".to_owned());
        let cases = [
            case("status", Result::Passed),
            case("restart", Result::Skipped("--restart".to_owned())),
            case("drained", failed),
        ];
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
  <testsuite name=\"drainhook.drill\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"4.500\">
    <testcase classname=\"drainhook.drill\" name=\"status\" time=\"1.500\"/>
    <testcase classname=\"drainhook.drill\" name=\"restart\" time=\"1.500\">
      <skipped message=\"--restart\"/>
    </testcase>
    <testcase classname=\"drainhook.drill\" name=\"drained\" time=\"1.500\">
      <failure message=\"&lt;html&gt; &amp; &quot;more&quot;?\">a
b</failure>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(document("drill", &cases), expected);
    }
}
