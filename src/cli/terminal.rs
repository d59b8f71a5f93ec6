//! Standard output as a terminal: its width, the live line at its bottom, and colors.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use crate::telemetry::log::takes_color;
use crossterm::cursor::MoveToColumn;
use crossterm::queue;
use crossterm::style::{Color, Print, ResetColor, SetForegroundColor};
use crossterm::terminal::{Clear, ClearType, size};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The narrowest window that output is laid out for.
const COLUMNS_MIN: usize = 40;

/// The columns of the window. `None` if standard output is not a terminal, where nothing is wrapped or cut.
pub fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    // A terminal that does not know its size, such as a serial console, reports no columns.
    let columns = size().map_or(0, |(columns, _)| usize::from(columns));
    Some(if columns == 0 { 80 } else { columns.max(COLUMNS_MIN) })
}

/// Whether the terminal can redraw a line.
pub fn is_live() -> bool {
    io::stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Text in a color, if standard output takes color.
pub struct Painted<'a>(pub &'a str, pub Color);

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if takes_color(&io::stdout()) {
            write!(f, "{}{}{}", SetForegroundColor(self.1), self.0, ResetColor)
        } else {
            f.write_str(self.0)
        }
    }
}

/// `✓` or `✗`.
pub fn mark(holds: bool) -> Painted<'static> {
    if holds { Painted("✓", Color::Green) } else { Painted("✗", Color::Red) }
}

/// Breaks a line so that it fits the window. `indent` is the indent of the rows after the first, in columns. A window that is
/// too narrow for it indents by a third of its width.
pub fn wrap(line: &str, indent: usize) -> String {
    wrap_to(line, indent, columns())
}

/// The same for a window of `columns` columns.
pub fn wrap_to(line: &str, indent: usize, columns: Option<usize>) -> String {
    let Some(columns) = columns.filter(|columns| line.width() > *columns) else { return line.to_owned() };
    let indent = " ".repeat(indented(indent, Some(columns)));
    // Do not break names such as target-lifecycle-state at their hyphens.
    let options = textwrap::Options::new(columns)
        .subsequent_indent(&indent)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(line, options)
}

/// The indent in a window of `columns` columns: a third of a window that is too narrow for `indent`.
pub fn indented(indent: usize, columns: Option<usize>) -> usize {
    columns.filter(|columns| indent > columns / 2).map_or(indent, |columns| columns / 3)
}

/// Cuts a line to `columns` columns.
fn cut(line: &str, columns: usize) -> &str {
    let mut width = 0;
    let end = line.char_indices().find(|(_, char)| {
        width += char.width().unwrap_or(0);
        width > columns
    });
    end.map_or(line, |(end, _)| &line[..end])
}

/// Joins as many fields as fit, in the given order. Each field has a rank. The field with the highest rank is left out first.
pub fn fit(fields: &[(u8, String)], columns: usize) -> String {
    let mut shown: Vec<&(u8, String)> = fields.iter().filter(|(_, text)| !text.is_empty()).collect();
    let join =
        |shown: &[&(u8, String)]| shown.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("  ");
    while join(&shown).width() > columns
        && let Some((place, _)) = shown.iter().enumerate().max_by_key(|(_, (rank, _))| *rank)
    {
        shown.remove(place);
    }
    join(&shown)
}

/// Writes a line in place of the live line, which the next `show_live` draws below.
pub fn put_above(line: &str) {
    redraw(&format!("{line}\n"));
}

/// Shows the live line. The cursor stays at its start, so that the next write clears all of it even if a resized window has
/// broken it.
pub fn show_live(line: &str) {
    redraw(cut(line, columns().map_or(0, |columns| columns.saturating_sub(1))));
}

/// Clears the live line.
pub fn clear_live() {
    redraw("");
}

/// Writes text in place of the live line, and leaves the cursor at the start of its row.
fn redraw(text: &str) {
    let mut out = io::stdout().lock();
    // As in `output::put`: if the reader has gone, the rest is lost, and the exit code still counts.
    let _ = queue!(out, MoveToColumn(0), Clear(ClearType::FromCursorDown), Print(text), MoveToColumn(0))
        .and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_with_an_indent() {
        let line = "   12.3 s  POST /drain  autoscaling_termination, 3 in flight, deadline in 3600 s";
        assert_eq!(wrap_to(line, 23, None), line);
        assert_eq!(wrap_to(line, 23, Some(80)), line);
        let expected = "   12.3 s  POST /drain  autoscaling_termination, 3 in flight,\n\
                        \x20                      deadline in 3600 s";
        assert_eq!(wrap_to(line, 23, Some(64)), expected);
        for row in wrap_to(line, 36, Some(40)).lines() {
            assert!(row.width() <= 40, "{row:?}");
        }
    }

    #[test]
    fn fields_with_the_highest_rank_are_left_out_first() {
        let fields = [(0, "0.1 s".to_owned()), (9, "████".to_owned()), (1, "2 in flight".to_owned())];
        assert_eq!(fit(&fields, 80), "0.1 s  ████  2 in flight");
        assert_eq!(fit(&fields, 20), "0.1 s  2 in flight");
        assert_eq!(fit(&fields, 10), "0.1 s");
    }

    #[test]
    fn cut_by_width() {
        assert_eq!(cut("██░░", 3), "██░");
        assert_eq!(cut("漢字", 3), "漢");
        assert_eq!(cut("abc", 3), "abc");
    }
}
