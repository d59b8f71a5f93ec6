use super::*;

/// Documents as agents write them, and what is at a pointer.
#[test]
fn pointers() {
    let document = br#"{"jobs":{"running":3,"a/b":[0,{"n":7.0}]},"m~n":9007199254740992}"#;
    for (pointer, number) in
        [("/jobs/running", 3), ("/jobs/a~1b/1/n", 7), ("/jobs/a~1b/0", 0), ("/m~0n", 9_007_199_254_740_992)]
    {
        assert_eq!(at_pointer(document, pointer), Ok(number), "{pointer}");
    }
}

/// Nothing that is not a whole number counts, least of all as 0.
#[test]
fn pointers_to_something_else() {
    let document =
        br#"{"text":"0","none":null,"part":0.5,"less":-1,"much":1e300,"list":[],"yes":false,"zero":-0.5}"#;
    for (pointer, told) in [
        ("/absent", "has nothing at /absent"),
        ("/text/length", "has nothing at /text/length"),
        ("/text", "has \"0\" at /text; expected a whole number"),
        ("/none", "has null at"),
        ("/part", "has 0.5 at"),
        ("/less", "has -1 at"),
        ("/much", "has 1e+300 at"),
        ("/list", "has [] at"),
        ("/yes", "has false at"),
        ("/zero", "has -0.5 at"),
    ] {
        let why = at_pointer(document, pointer).expect_err(pointer);
        assert!(why.starts_with(told), "{why}");
    }
    for cut in ["", "0", "<html>", "{\"jobs\":0", "{\"jobs\":NaN}", "{\"jobs\":0} {\"jobs\":0}"] {
        assert!(at_pointer(cut.as_bytes(), "/jobs").is_err(), "{cut}");
    }
    let deep = "[".repeat(100_000);
    assert!(at_pointer(deep.as_bytes(), "/0").is_err());
}

const PAGE: &str = r#"
# HELP jobs Jobs by queue.
# TYPE jobs gauge
jobs{queue="default",state="running"} 2
jobs{queue="mail",state="running"} 1 1395066363000
jobs { state = "waiting" , queue="default", } 4.0e+00
jobs_total 17
jobs_failed{queue="default"} NaN
odd{path="C:\\dir\n\"}{"} 5
busy 3
plain	6
half 0.5
less -1
none NaN
endless +Inf
huge 1e300
large{n="1"} 9007199254740992
large{n="2"} 1
"#;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The series of a metric are added up. Other metrics whose names begin alike are not.
#[test]
fn metrics() {
    let read = |name, pairs: &[(&str, &str)]| metric(PAGE.as_bytes(), name, &labels(pairs));
    assert_eq!(read("jobs", &[]), Ok(7));
    assert_eq!(read("jobs", &[("state", "running")]), Ok(3));
    assert_eq!(read("jobs", &[("queue", "default"), ("state", "waiting")]), Ok(4));
    assert_eq!(read("odd", &[("path", "C:\\dir\n\"}{")]), Ok(5));
    assert_eq!(read("busy", &[]), Ok(3));
    assert_eq!(read("busy", &[("queue", "")]), Ok(3), "a label that is absent is empty");
    assert_eq!(read("plain", &[]), Ok(6));
    let crlf = PAGE.replace('\n', "\r\n");
    assert_eq!(metric(crlf.as_bytes(), "busy", &BTreeMap::new()), Ok(3));
}

/// A page without the metric, or without the labels, says nothing about the work. Neither is 0.
#[test]
fn metrics_that_say_nothing() {
    let read = |name, pairs: &[(&str, &str)]| metric(PAGE.as_bytes(), name, &labels(pairs));
    for (name, pairs, told) in [
        ("job", &[][..], "has no metric job"),
        ("HELP", &[], "has no metric HELP"),
        ("jobs", &[("state", "done")], r#"has jobs, but not with the labels {state="done"}"#),
        ("jobs_failed", &[], r#"has "jobs_failed{queue=\"default\"} NaN"; expected a whole number"#),
        ("half", &[], "has \"half 0.5\"; expected a whole number"),
        ("less", &[], "has \"less -1\"; expected"),
        ("none", &[], "has \"none NaN\"; expected"),
        ("endless", &[], "has \"endless +Inf\"; expected"),
        ("huge", &[], "has \"huge 1e300\"; expected"),
        ("large", &[], "has 9007199254740993 as the sum of large; expected"),
    ] {
        let why = read(name, pairs).expect_err(name);
        assert!(why.starts_with(told), "{why}");
    }
    for bad in ["n{", "n{a", "n{a=1} 0", "n{a=\"", "n{a=\"x} 0", "n{a=\"\\", "n ", "n x", "n{} ", "n 0x0"] {
        assert!(metric(bad.as_bytes(), "n", &BTreeMap::new()).is_err(), "{bad}");
    }
    let html = b"<html><body>n 0</body></html>";
    assert!(metric(html, "n", &BTreeMap::new()).is_err());
}

#[test]
fn output_of_a_command() {
    assert_eq!(printed("0"), Ok(0));
    assert_eq!(printed("12"), Ok(12));
    for bad in ["", "-1", "+1", "1.0", "3 jobs", "none", "٣", "99999999999999999999", "9007199254740993"] {
        assert!(printed(bad).is_err(), "{bad}");
    }
    assert_eq!(
        printed("no jobs"),
        Err("last wrote \"no jobs\"; expected a whole number from 0 to 2^53".to_owned())
    );
}
