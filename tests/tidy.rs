//! Keeps the tree tidy: pure crates, short files, named modules, documented settings, no local paths. (The manifests and
//! crates/clippy.toml also keep the pure crates pure, but they do not cover everything in std.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use drainhook::config::keys::{KEYS, WhenUnset};
use drainhook::preset::Preset;
use drainhook::telemetry::journald::MESSAGE_IDS;

mod source;

/// The longest source file, in lines.
const LINES_MAX: usize = 420;
/// Longer files: one type, whose methods belong together.
const LONGER: &[(&str, usize)] =
    &[("crates/machine/src/action/mod.rs", 526), ("crates/machine/src/agent/mod.rs", 530)];
/// The longest test file, in lines.
const TEST_LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every file of the project, relative to its root: the files that git tracks, or all files if there is no git.
fn files() -> Vec<String> {
    let git = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let mut files: Vec<String> = match git {
        Ok(output) if output.status.success() => {
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            listed.split('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
        }
        Ok(_) | Err(_) => Vec::new(),
    };
    if files.is_empty() {
        walk(root(), &mut files);
    }
    files.sort();
    files
}

fn walk(folder: &Path, files: &mut Vec<String>) {
    for entry in
        fs::read_dir(folder).expect("a folder of the project").map(|entry| entry.expect("an entry").path())
    {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && name != ".git" {
            walk(&entry, files);
        } else if entry.is_file() {
            let relative = entry.strip_prefix(root()).expect("below the root");
            files.push(relative.to_string_lossy().into_owned());
        }
    }
}

/// Fails with all complaints, if there are any.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// A complaint for each occurrence of one of the words in the files' code.
fn mentions(files: impl Iterator<Item = String>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files {
        for (number, line) in source::code(&read(&path)).lines().enumerate() {
            let of_line = words.iter().filter(|word| source::has_word(line, word));
            found.extend(of_line.map(|word| format!("{path}:{}: mentions {word}", number + 1)));
        }
    }
    found
}

#[test]
fn pure_crates() {
    const IMPURE: &[&str] = &[
        "tokio",
        "async",
        "await",
        "aws_",
        "reqwest",
        "hyper",
        "std::net",
        "std::fs",
        "std::env",
        "std::process",
        "std::os",
        "Instant",
        "SystemTime",
        "::now()",
        "HashMap",
        "HashSet",
        "thread",
    ];
    let pure = |path: &String| {
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs") && !is_test
    };
    let files: Vec<String> = files().into_iter().filter(pure).collect();
    assert!(
        files.iter().any(|path| path.starts_with("crates/machine/src/")),
        "found no sources of crates/machine"
    );
    none(mentions(files.into_iter(), IMPURE));
}

#[test]
fn one_file_reads_clocks() {
    const CLOCKS: &[&str] = &["Instant::now", "SystemTime", "Timestamp::now", "Zoned::now", "clock_gettime"];
    let elsewhere =
        |path: &String| path.starts_with("src/") && path.ends_with(".rs") && path != "src/clock.rs";
    none(mentions(files().into_iter().filter(elsewhere), CLOCKS));
}

#[test]
fn short_files() {
    let mut complaints = Vec::new();
    for path in files() {
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
        let longer = LONGER.iter().find(|(longer, _)| *longer == path).map(|(_, lines)| *lines);
        let lines_max = longer.unwrap_or(if is_test { TEST_LINES_MAX } else { LINES_MAX });
        let is_script = Path::new(&path).extension().is_none() && read(&path).starts_with("#!");
        if is_script || [".rs", ".sh", ".py"].iter().any(|extension| path.ends_with(extension)) {
            let lines = read(&path).lines().count();
            if lines > lines_max {
                complaints.push(format!("{path} has {lines} lines; at most {lines_max}"));
            }
        }
    }
    none(complaints);
}

/// Every module is named in ARCHITECTURE.md, in the docs of its parent module, or in those of the grandparent.
#[test]
fn every_module_is_named() {
    let architecture = read("ARCHITECTURE.md");
    let mut complaints = Vec::new();
    for path in files().iter().filter(|path| path.ends_with(".rs")) {
        let Some(source) = source_folder(path) else { continue };
        let parts: Vec<&str> = path[source.len() + 1..].trim_end_matches(".rs").split('/').collect();
        for (depth, module) in parts.iter().enumerate() {
            if ["lib", "main", "mod", "tests"].contains(module) || parts[..depth].contains(&"tests") {
                continue;
            }
            let above = (depth.saturating_sub(1)..=depth).map(|depth| &parts[..depth]);
            let pages: Vec<String> = above.filter_map(|parts| module_file(source, parts)).collect();
            let layouts = pages.iter().map(|page| source::own_docs(&read(page)));
            if !layouts.chain([architecture.clone()]).any(|page| source::has_word(&page, module)) {
                let pages = pages.join(" or ");
                complaints
                    .push(format!("{path}: name {module} at the top of {pages}, or in ARCHITECTURE.md"));
            }
        }
    }
    complaints.dedup();
    none(complaints);
}

/// The `src` folder of the package that a file is in.
fn source_folder(path: &str) -> Option<&str> {
    let src = if path.starts_with("src/") { Some(3) } else { path.find("/src/").map(|at| at + 4) };
    src.map(|end| &path[..end]).filter(|folder| *folder == "src" || folder.starts_with("crates/"))
}

/// The file of a module, by the module's path below a `src` folder.
fn module_file(source: &str, parts: &[&str]) -> Option<String> {
    let module = [&[source], parts].concat().join("/");
    let files = [format!("{module}/lib.rs"), format!("{module}/mod.rs"), format!("{module}.rs")];
    files.into_iter().find(|file| root().join(file).is_file())
}

#[test]
fn no_paths_of_a_developers_machine() {
    let folders = ["home", "root", "work"].map(|name| format!("/{name}/"));
    let mut complaints = Vec::new();
    for path in files() {
        for (number, line) in read(&path).lines().enumerate() {
            let found = folders.iter().find(|folder| {
                let starts =
                    line.match_indices(folder.as_str()).map(|(at, _)| line[..at].chars().next_back());
                starts.into_iter().any(|before| {
                    before.is_none_or(|before| !before.is_alphanumeric() && !"._-~}])*".contains(before))
                })
            });
            complaints
                .extend(found.map(|folder| format!("{path}:{}: an absolute path, {folder}…", number + 1)));
        }
    }
    none(complaints);
}

#[test]
fn configuration_page_lists_every_key() {
    const START: &str = "<!-- config:start -->\n";
    const END: &str = "<!-- config:end -->";
    let page = read("docs/configuration.md");
    let table =
        page.split_once(START).and_then(|(_, rest)| rest.split_once(END)).map(|(table, _)| table.trim());
    let expected = drainhook::config::keys::markdown();
    assert!(
        table == Some(expected.trim()),
        "docs/configuration.md must have this between {START}and {END}:\n\n{START}{expected}{END}\n"
    );
}

/// The configuration file that packages install has every key, under its section, and shows the right defaults.
#[test]
fn installed_configuration() {
    let mut section = String::new();
    let mut shown = Vec::new();
    for line in read("systemd/drainhook.toml").lines() {
        let table = line.strip_prefix("#[[").and_then(|rest| rest.strip_suffix("]]"));
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).or(table) {
            name.clone_into(&mut section);
        } else if let Some((name, value)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            let bare = !name.contains(' ');
            shown.extend(bare.then(|| (format!("{section}.{name}"), value.trim_matches('"').to_owned())));
        } else {
            assert!(
                line.is_empty() || line.starts_with("# "),
                "systemd/drainhook.toml must only have comments and sections: {line}"
            );
        }
    }
    // Users do not need `simulation.clock`.
    let keys: Vec<_> = KEYS.iter().filter(|key| key.section != "simulation").collect();
    let names: Vec<_> = shown.iter().map(|(path, _)| path.clone()).collect();
    let expected: Vec<_> = keys.iter().map(|key| key.path()).collect();
    assert_eq!(names, expected, "systemd/drainhook.toml and the list of keys in src/config/keys.rs differ");
    for (key, (path, value)) in keys.iter().zip(&shown) {
        if let WhenUnset::Is(default) = key.default {
            assert_eq!(value, default, "systemd/drainhook.toml shows a wrong default for {path}");
        }
    }
}

/// terraform/ refuses a preset with an agent of another kind, so it must know each preset's kind.
#[test]
fn terraform_knows_the_kind_of_each_preset() {
    let kind = |preset: &Preset| {
        let is_set = |key: &&str| preset.agent.contains_key(*key) || preset.must.contains_key(*key);
        let kind = ["url", "unit", "command"].into_iter().find(is_set);
        kind.unwrap_or_else(|| panic!("{} is of no kind", preset.name))
    };
    let text = read("terraform/variables.tf").split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in ["url", "unit", "command"] {
        let names = Preset::all().filter(|preset| kind(preset) == wanted).map(|preset| preset.name);
        let line = format!("{wanted} = {:?}", names.collect::<Vec<_>>());
        assert!(text.contains(&line), "terraform/variables.tf must have this line:\n{line}");
    }
    let names = Preset::all().filter(|preset| preset.agent.contains_key("command")).map(|preset| preset.name);
    let line = format!("command_presets = {:?}\n", names.collect::<Vec<_>>());
    assert!(read("terraform/main.tf").contains(&line), "terraform/main.tf must have this line:\n{line}");
}

/// Users build alerts on these ids.
#[test]
fn install_page_lists_the_message_ids() {
    let page = read("docs/install.md");
    let rows = MESSAGE_IDS.iter().map(|(event, id)| format!("| `{event}` | `{id}` |"));
    none(rows.filter(|row| !page.contains(row)).map(|row| format!("docs/install.md lacks {row}")).collect());
}

#[test]
fn readme_commands_exist() {
    let mut commands = Vec::new();
    for line in source::fenced(&read("README.md")).lines() {
        let words: Vec<&str> = line.split_whitespace().skip_while(|word| is_prefix(word)).collect();
        let command = match words.as_slice() {
            ["drainhook", command, ..] => Some(*command),
            ["cargo", "run", rest @ ..] => rest.iter().skip_while(|word| **word != "--").nth(1).copied(),
            [script, ..] if script.contains('/') && !script.starts_with('/') && !script.contains(':') => {
                assert!(root().join(script).exists(), "README.md runs {script}, which does not exist");
                None
            }
            _ => None,
        };
        commands.extend(command.filter(|command| !command.starts_with('-')).map(str::to_owned));
    }
    commands.sort();
    commands.dedup();
    assert!(
        commands.iter().any(|command| command == "simulate"),
        "README.md does not show `drainhook simulate`"
    );
    assert!(commands.iter().any(|command| command == "run"), "README.md does not show `drainhook run`");
    for command in commands {
        let help = Command::new(env!("CARGO_BIN_EXE_drainhook")).args([&command, "--help"]).output();
        let help = help.expect("the program starts");
        assert!(
            help.status.success() && !help.stdout.is_empty(),
            "README.md shows drainhook {command}: {help:?}"
        );
    }
}

/// Whether the word is in front of a command: a prompt, `sudo` or an assignment.
fn is_prefix(word: &str) -> bool {
    let assignment = |(name, _): (&str, &str)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    word == "$" || word == "sudo" || word.split_once('=').is_some_and(assignment)
}

/// Every test that docs/failure-modes.md names exists.
#[test]
fn failure_modes_name_their_tests() {
    const PAGE: &str = "docs/failure-modes.md";
    assert!(
        source::links(&read("README.md")).iter().any(|link| link == PAGE),
        "README.md does not link to {PAGE}"
    );
    tests_exist(PAGE, &source::last_cells(&read(PAGE), "test"));
}

/// Each promise names the tests that fail if it is broken, in a paragraph that begins with `Tests:`.
#[test]
fn security_promises_name_their_tests() {
    const PAGE: &str = "SECURITY.md";
    let text = read(PAGE);
    let paragraphs = text.split("\n\n").filter(|paragraph| paragraph.starts_with("Tests:"));
    let tests: Vec<String> =
        paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    tests_exist(PAGE, &tests);
}

/// Fails where a page names a test, as `name` or `module::name`, that is in no file of Rust or Python.
fn tests_exist(page: &str, tests: &[String]) {
    let is_source = |path: &String| path.ends_with(".rs") || path.ends_with(".py");
    let sources: Vec<(String, String)> =
        files().into_iter().filter(is_source).map(|path| (read(&path), path)).collect();
    let exists = |test: &str| {
        let (module, name) =
            test.rsplit_once("::").map_or((None, test), |(module, name)| (Some(module), name));
        sources.iter().any(|(text, path)| {
            let in_module = |module: &str| {
                let files = [".rs", "/mod.rs", "/tests.rs", ".py"].map(|end| format!("/{module}{end}"));
                files.iter().any(|file| path.ends_with(file)) || text.contains(&format!("mod {module} {{"))
            };
            let keyword = if path.ends_with(".py") { "def" } else { "fn" };
            let function = text.contains(&format!("{keyword} {name}("));
            // tests/scenarios.rs lists its tests in a macro.
            let listed = path.ends_with("scenarios.rs") && text.contains(&format!("\n    {name}: \""));
            module.is_none_or(in_module) && (function || listed)
        })
    };
    assert!(tests.len() > 30, "{page} names only {tests:?}");
    none(tests.iter().filter(|test| !exists(test)).map(|test| format!("{page}: no test {test}")).collect());
}

#[test]
fn links_in_documents_resolve() {
    let mut complaints = Vec::new();
    let documents = files().into_iter().filter(|path| path.ends_with(".md"));
    for path in documents {
        let folder = PathBuf::from(&path).parent().map(Path::to_owned).unwrap_or_default();
        for target in source::links(&read(&path)) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !elsewhere && !root().join(&folder).join(file).exists() {
                complaints.push(format!("{path}: broken link {target}"));
            }
        }
    }
    none(complaints);
}
