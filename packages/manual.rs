//! Writes the manual pages and the shell completions from the program's own command-line definition:
//! `cargo run --example manual FOLDER`. `packages/build` puts them into the packages.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use drainhook::cli::Cli;
use drainhook::config::DEFAULT_PATH;
use drainhook::config::keys::{KEYS, Key, SIMULATION, WhenUnset};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: manual FOLDER")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    completions(folder)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    page(folder, command.clone())?;
    for subcommand in command.get_subcommands() {
        page(folder, subcommand.clone())?;
    }
    Ok(())
}

/// Writes `drainhook.bash`, `_drainhook` and `drainhook.fish`.
fn completions(folder: &Path) -> Result<(), Box<dyn Error>> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "drainhook", folder)?;
    }
    Ok(())
}

/// Writes one page, for the program or a command. The program's page also has what the help texts do not say.
fn page(folder: &Path, command: Command) -> Result<(), Box<dyn Error>> {
    let is_program = command.has_subcommands();
    let source = format!("drainhook {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command).source(source);
    let mut file = File::create(folder.join(page.get_filename()))?;
    page.render_title(&mut file)?;
    // Do not hyphenate: readers copy the names of variables and files.
    Roff::new().control("nh", []).control("ad", ["l"]).to_writer(&mut file)?;
    page.render_name_section(&mut file)?;
    page.render_synopsis_section(&mut file)?;
    page.render_description_section(&mut file)?;
    page.render_options_section(&mut file)?;
    let mut rest = Roff::new();
    if is_program {
        page.render_subcommands_section(&mut file)?;
        configuration(&mut rest);
        files(&mut rest);
        environment(&mut rest);
    }
    exit_status(&mut rest);
    if !is_program {
        section(&mut rest, "SEE ALSO");
        rest.text([bold("drainhook"), roman("(1)")]);
    }
    rest.to_writer(&mut file)?;
    Ok(())
}

fn configuration(page: &mut Roff) {
    section(page, "CONFIGURATION");
    page.text([
        roman("TOML. Every key is optional. For several agents, write several "),
        bold("[[agent]]"),
        roman(" tables."),
    ]);
    for key in KEYS.iter().filter(|key| key.section != SIMULATION) {
        entry(page, &key.path(), key.help);
        page.control("RS", []);
        page.text(plain(&takes(key)));
        page.control("RE", []);
    }
}

/// What a key takes, and its default.
fn takes(key: &Key) -> String {
    let default = match key.default {
        WhenUnset::Is(value) | WhenUnset::IfUsed(value) => format!("`{value}`"),
        WhenUnset::Then(words) => words.to_owned(),
    };
    format!("Takes {}. Default: {default}.", key.kind.expected())
}

fn files(page: &mut Roff) {
    section(page, "FILES");
    entry(page, DEFAULT_PATH, "The configuration. The file is optional.");
    entry(
        page,
        "/etc/drainhook/drainhook.env",
        "Environment variables for the daemon, read by its systemd unit.",
    );
    entry(
        page,
        "/var/lib/drainhook",
        "The journal, from which a restarted daemon continues a drain under way.",
    );
    entry(
        page,
        "/run/drainhook/drainhook.sock",
        "The control socket, open to root and to members of the group `drainhook`.",
    );
}

fn environment(page: &mut Roff) {
    section(page, "ENVIRONMENT");
    entry(
        page,
        "DRAINHOOK_SECTION__KEY",
        "Sets a configuration key and overrides the file: `DRAINHOOK_AGENT__DRAIN_TIMEOUT=2h`.",
    );
    entry(
        page,
        "AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, AWS_EC2_METADATA_SERVICE_ENDPOINT and others",
        "The daemon reaches AWS like every program with an AWS SDK. On an instance, none of these are needed.",
    );
}

fn exit_status(page: &mut Roff) {
    section(page, "EXIT STATUS");
    entry(page, "0", "Done.");
    entry(page, "1", "Failed. Standard error says why.");
    entry(page, "2", "Wrong command line.");
    entry(page, "78", "Bad configuration. systemd does not restart the daemon.");
}

fn section(page: &mut Roff, name: &str) {
    page.control("SH", [name]);
}

/// Writes a term and, indented below it, its meaning.
fn entry(page: &mut Roff, term: &str, meaning: &str) {
    page.control("TP", []);
    page.text([bold(term)]);
    page.text(plain(meaning));
}

/// Converts text with `code` to bold.
fn plain(markdown: &str) -> Vec<Inline> {
    let parts = markdown.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { roman(part) } else { bold(part) }).collect()
}
