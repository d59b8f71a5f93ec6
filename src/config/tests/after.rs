//! The after steps.

use super::*;

fn programs(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    config(text, env).after.into_iter().map(|step| step.command[0].clone()).collect()
}

/// One table or several, and a variable for the only one.
#[test]
fn ways_to_write_them() {
    assert_eq!(programs("", &[]), [""; 0]);
    assert_eq!(programs("after = []", &[]), [""; 0]);
    assert_eq!(programs("[after]\ncommand = \"/bin/a\"", &[]), ["/bin/a"]);
    let two = "[[after]]\ncommand = \"/bin/a\"\n[[after]]\ncommand = \"/bin/b\"\ntimeout = \"1s\"";
    assert_eq!(programs(two, &[]), ["/bin/a", "/bin/b"]);
    assert_eq!(config(two, &[]).after[1].timeout, Duration::from_secs(1));
    let variables = [("DRAINHOOK_AFTER__COMMAND", "/bin/a"), ("DRAINHOOK_AFTER__TIMEOUT", "2m")];
    assert_eq!(config("", &variables).after[0].timeout, Duration::from_secs(120));
    assert_eq!(
        programs("[after]\ncommand = \"/bin/a\"", &[("DRAINHOOK_AFTER__COMMAND", "/bin/b")]),
        ["/bin/b"]
    );
}

#[test]
fn mistakes() {
    let step = "[[after]]\ncommand = \"/bin/a\"\n";
    for (text, env, expected) in [
        (
            format!("{step}[[after]]\ntimeout = \"10s\""),
            &[] as &[(&str, &str)],
            "test.toml:3: this after step has no `command`; set the program that it runs, or remove the step",
        ),
        (
            String::new(),
            &[("DRAINHOOK_AFTER__TIMEOUT", "10s")],
            "DRAINHOOK_AFTER__TIMEOUT: this after step has no `command`; set the program that it runs, or remove the step",
        ),
        (
            step.repeat(2),
            &[("DRAINHOOK_AFTER__TIMEOUT", "10s")],
            "DRAINHOOK_AFTER__TIMEOUT is set, but the file has several [[after]] tables; remove it, or write it into one of \
             them",
        ),
        (step.repeat(9), &[], "test.toml:1: 9 after steps are configured; expected at most 8"),
        (
            "[[after]]\ncommand = \"flush\"".to_owned(),
            &[],
            "test.toml:2: `after.command` is \"flush\", but the path of its program is not absolute; expected a program with an \
             absolute path, and its arguments, written like [\"/opt/worker/drain\", \"--now\"]",
        ),
    ] {
        assert_eq!(problems(&text, env), expected);
    }
    // Each problem is told, also beside one of another section and one of another step.
    let told = problems("[agent]\nordre = 1\n[[after]]\ncommand = 1\n[[after]]\n", &[]);
    let lines: Vec<&str> = told.lines().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["4", "2", "5"], "{told}");
    let told = problems(&format!("{step}timeout = \"11m\""), &[]);
    assert!(told.contains("expected a duration from 1s to 10m"), "{told}");
}

/// What `drainhook config` prints can be loaded again, with as many steps.
#[test]
fn printed() {
    let two = "[[after]]\ncommand = [\"/bin/a\", \"b c\"]\n[[after]]\ncommand = \"/bin/b\"\ntimeout = \"1s\"";
    let printed = load(two, &[]).expect("a good configuration").to_toml();
    assert_eq!(config(&printed, &[]).after, config(two, &[]).after, "{printed}");
    let none = load("", &[]).expect("a good configuration").to_toml();
    assert!(!none.contains("after"), "{none}");
}
