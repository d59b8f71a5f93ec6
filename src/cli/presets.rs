//! `drainhook presets`: lists the presets, or prints one as TOML, with what it requires and its traps.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use super::output::{put, put_line};
use super::terminal::{columns, wrap, wrap_to};
use crate::preset::{self, Preset, Requirement};

const EXAMPLE: &str = "\
Example, to write a configuration:
  drainhook presets nginx | sudo tee /etc/drainhook/drainhook.toml";

/// The widest comment of a preset, in columns.
const COLUMNS_MAX: usize = 100;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Print this preset as TOML for a configuration file
    #[arg(value_parser = PossibleValuesParser::new(preset::NAMES), hide_possible_values = true)]
    name: Option<String>,

    /// Print one JSON object per line, one for each preset
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let chosen = Preset::all().filter(|preset| args.name.as_deref().is_none_or(|name| name == preset.name));
    for preset in chosen {
        if args.json {
            // A preset is only text, so this cannot fail.
            if let Ok(line) = serde_json::to_string(&preset) {
                put_line(&line);
            }
        } else if args.name.is_some() {
            put(&toml(&preset, columns().map_or(COLUMNS_MAX, |columns| columns.min(COLUMNS_MAX))));
        } else {
            put_line(&wrap(&format!("{:<19} {}. {}.", preset.name, preset.what, tested(&preset)), 20));
        }
    }
    ExitCode::SUCCESS
}

fn tested(preset: &Preset) -> String {
    preset.tested.as_ref().map_or_else(
        || "Not tested with the real software".to_owned(),
        |software| format!("Tested with {software}"),
    )
}

/// The kind of agent that it is for.
fn kind(preset: &Preset) -> &'static str {
    let sets = |key: &str| preset.agent.contains_key(key) || preset.must.contains_key(key);
    if sets("unit") {
        return "The agent is a systemd unit. If yours is not, see \"Software that is not a unit\" in docs/agents.md.";
    }
    if sets("command") {
        return "A command drains the agent.";
    }
    "HTTP requests drain the agent."
}

/// Section `agent` of a configuration with this preset, and comments.
fn toml(preset: &Preset, columns: usize) -> String {
    let text = preset::text(preset.name).unwrap_or_default();
    let mut page = String::new();
    let comment = |page: &mut String, mark: &str, text: &str| {
        // Each row that a wrapped comment is broken into must be a comment, too.
        let room = columns.saturating_sub(2);
        for row in wrap_to(&format!("{mark}{text}"), mark.len(), Some(room)).lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "# {row}");
        }
    };
    comment(&mut page, "", &format!("{}. {}.", preset.what, tested(preset)));
    comment(&mut page, "", kind(preset));
    let _ = writeln!(page, "[agent]\npreset = \"{}\"", preset.name);
    if !preset.must.is_empty() {
        comment(&mut page, "", "You must set this:");
        for line in preset::lines_of(text, "must") {
            let _ = writeln!(page, "{line}");
        }
    }
    if !preset.agent.is_empty() {
        comment(&mut page, "", "The preset sets this, unless you do:");
        for line in preset::lines_of(text, "agent") {
            let _ = writeln!(page, "#{line}");
        }
    }
    if !(preset.requires.is_empty() && preset.limits.is_empty()) {
        page.push('\n');
        let fixed =
            if preset.requires.is_empty() { "" } else { " of the unit, and prints a drop-in that fixes it" };
        comment(&mut page, "", &format!("drainhook check requires this{fixed}:"));
        for requirement in &preset.requires {
            comment(&mut page, "- ", &required(requirement));
        }
        for limit in &preset.limits {
            let argument = limit.arguments.last().map(String::as_str).unwrap_or_default();
            comment(
                &mut page,
                "- ",
                &format!("{} {argument} is at least agent.drain_timeout", limit.program),
            );
        }
    }
    page.push('\n');
    comment(&mut page, "", "Traps:");
    for trap in &preset.traps {
        comment(&mut page, "- ", trap);
    }
    page
}

fn required(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Property { property, good, why } => {
            format!("{}={}: {why}", property.as_str(), good.join(" or "))
        }
        Requirement::Unset { unset, why } => format!("no variable {unset}: {why}"),
    }
}
