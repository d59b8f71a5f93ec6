//! A minimal reader of Rust and Markdown for `tidy.rs`.

/// The code of a Rust file, line by line, without comments and literals.
pub fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            // Skipped text keeps its line breaks, so that line numbers stay right.
            code.push(' ');
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        }
    }
    code
}

/// The length in bytes of the comment or literal at the start of the text.
fn skipped(text: &str, before: Option<char>) -> usize {
    let until =
        |start: usize, end: &str| text[start..].find(end).map_or(text.len(), |at| start + at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = text.strip_prefix('r').filter(|_| !in_word || before == Some('b')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(1 + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if text.starts_with('"') {
        return quoted(text);
    }
    // After a single quote, only character literals such as '"' matter.
    if let Some(inner) = text.strip_prefix('\'') {
        let mut chars = inner.char_indices();
        return match (chars.next(), chars.next()) {
            (Some((_, '\\')), Some((_, escaped))) => until(2 + escaped.len_utf8(), "'"),
            (Some(_), Some((end, '\''))) => 1 + end + 1,
            _ => 0,
        };
    }
    0
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The module docs at the top of a Rust file.
pub fn own_docs(text: &str) -> String {
    text.lines().take_while(|line| line.starts_with("//!")).map(|line| format!("{line}\n")).collect()
}

/// Whether the text has the whole word. `aws_` matches every word that starts with it.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let starts = !word.starts_with(is_part) || !before.is_some_and(is_part);
        let ends = word.ends_with('_') || !word.ends_with(is_part) || !after.is_some_and(is_part);
        starts && ends
    })
}

/// The content of the fenced blocks of a Markdown document.
pub fn fenced(markdown: &str) -> String {
    parts(markdown).filter(|(is_fenced, _)| *is_fenced).map(|(_, line)| format!("{line}\n")).collect()
}

/// The targets of the inline links of a Markdown document.
pub fn links(markdown: &str) -> Vec<String> {
    let mut links = Vec::new();
    for (_, line) in parts(markdown).filter(|(is_fenced, _)| !is_fenced) {
        // Every second piece is in backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        links.extend(targets.map(str::to_owned));
    }
    links
}

/// The text in backticks in the last column of every table whose last column has this heading.
pub fn last_cells(markdown: &str, heading: &str) -> Vec<String> {
    let mut is_wanted = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let last = cells.last().copied().unwrap_or_default();
        is_wanted = line.starts_with('|') && (is_wanted || last == heading);
        if is_wanted {
            found.extend(last.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

fn parts(markdown: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut is_fenced = false;
    markdown.lines().filter_map(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        (!is_fence).then_some((is_fenced, line))
    })
}

#[test]
fn code_has_no_comments_and_literals() {
    let text = "a // tokio\n/* async /* x */\nawait */ b \"http://x \\\" thread\" c '\"' d r#\"e\" f\"# g<'h> '\\'' i";
    let code = code(text);
    assert_eq!(code.split_whitespace().collect::<String>(), "abcdg<'h>i");
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn has_word_matches_whole_words() {
    assert!(has_word("use std::time::Instant;", "Instant") && !has_word("InstantId", "Instant"));
    assert!(has_word("use aws_config::x", "aws_") && !has_word("laws_of", "aws_"));
    assert!(has_word("Clock::now()", "::now()"));
}

#[test]
fn last_cells_reads_only_tables_with_the_heading() {
    let text = "| a | test |\n|---|---|\n| `b` | `c`, `d::e` |\n\n| a | other |\n|---|---|\n| b | `f` |\n";
    assert_eq!(last_cells(text, "test"), ["c", "d::e"]);
}

#[test]
fn links_ignores_code() {
    let text = "[a](b.md) ![c](d.png \"e\") `[f](g)`\n```\n[h](i)\n```\n[j](#k)";
    assert_eq!(links(text), ["b.md", "d.png", "#k"]);
    assert_eq!(fenced(text), "[h](i)\n");
}
