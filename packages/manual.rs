//! Writes the manual pages and the shell completions, from the same definition that the program reads its command
//! line by: `cargo run --example manual FOLDER`. `packages/build` puts them into packages.

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

/// `drainhook.bash`, `_drainhook` and `drainhook.fish`.
fn completions(folder: &Path) -> Result<(), Box<dyn Error>> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "drainhook", folder)?;
    }
    Ok(())
}

/// One page, of the program or of a command. What help texts do not say stands on the program's page.
fn page(folder: &Path, command: Command) -> Result<(), Box<dyn Error>> {
    let is_program = command.has_subcommands();
    let source = format!("drainhook {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command).source(source);
    let mut file = File::create(folder.join(page.get_filename()))?;
    page.render_title(&mut file)?;
    // Names of variables and files are to be copied: they are not broken in two.
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
        roman("TOML; everything is optional. Several agents are several "),
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

/// What a key takes and what it is worth where it is not set, as a sentence.
fn takes(key: &Key) -> String {
    let default = match key.default {
        WhenUnset::Is(value) => format!("`{value}`"),
        WhenUnset::Then(words) => words.to_owned(),
    };
    format!("Takes {}. Default: {default}.", key.kind.expected())
}

fn files(page: &mut Roff) {
    section(page, "FILES");
    entry(page, DEFAULT_PATH, "The configuration; it need not exist.");
    entry(
        page,
        "/etc/drainhook/drainhook.env",
        "Environment variables for the daemon, read by its systemd unit.",
    );
    entry(
        page,
        "/var/lib/drainhook",
        "The journal: a drain under way, so that a daemon that starts goes on with it.",
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
        "Sets a key of the configuration and wins over the file: `DRAINHOOK_AGENT__DRAIN_TIMEOUT=2h`.",
    );
    entry(
        page,
        "AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, AWS_EC2_METADATA_SERVICE_ENDPOINT and others",
        "AWS is configured as for every program with an AWS SDK. On an instance none of them is needed.",
    );
}

fn exit_status(page: &mut Roff) {
    section(page, "EXIT STATUS");
    entry(page, "0", "Done.");
    entry(page, "1", "Failed; standard error says why.");
    entry(page, "2", "The command line is wrong.");
    entry(page, "78", "The configuration is wrong; systemd does not restart the daemon then.");
}

fn section(page: &mut Roff, name: &str) {
    page.control("SH", [name]);
}

/// A term and, indented below it, what it means.
fn entry(page: &mut Roff, term: &str, meaning: &str) {
    page.control("TP", []);
    page.text([bold(term)]);
    page.text(plain(meaning));
}

/// Text with `code` in bold.
fn plain(markdown: &str) -> Vec<Inline> {
    let parts = markdown.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { roman(part) } else { bold(part) }).collect()
}
