//! The headers, bodies and success codes of an HTTP agent's requests.

use super::*;

fn agent(text: &str, env: &[(&str, &str)]) -> HttpAgent {
    http(&config(&format!("[agent]\n{text}"), env).agents[0]).clone()
}

/// Headers in each way of writing them.
#[test]
fn headers_as_they_are_written() {
    let expected = headers(&[
        ("X-Key", HeaderText::File("/etc/a \"key\"".into())),
        ("X-Team", HeaderText::Text(Template::new("{instance_id} e \\ '"))),
    ]);
    let written = [
        r#"headers = { X-Key = { file = '/etc/a "key"' }, X-Team = "{instance_id} e \\ '" }"#,
        "headers.X-Key.file = '/etc/a \"key\"'\nheaders.X-Team = \"{instance_id} e \\\\ '\"",
        "[agent.headers]\nX-Key = { file = '/etc/a \"key\"' }\nX-Team = \"{instance_id} e \\\\ '\"",
    ];
    for text in written {
        assert_eq!(agent(text, &[]).headers, expected, "{text}");
    }
    let inline = r#"{ X-Key = { file = '/etc/a "key"' }, X-Team = "{instance_id} e \\ '" }"#;
    assert_eq!(agent("", &[("DRAINHOOK_AGENT__HEADERS", inline)]).headers, expected);
    assert_eq!(agent("headers = {}", &[]).headers, []);
}

#[test]
fn printed_requests_round_trip() {
    let text = r#"
        [agent]
        headers = { "X!#$%&'*+.^`|~" = "a \"b\" \\c", X-Key = { file = '/etc/key' } }
        drain.body = "{\n\t\"why\": \"{reason}\"\n}"
        drain.success = [409, 404]
        return.method = "POST"
        return.body = ""
        return.success = [410]
    "#;
    let loaded = load(text, &[]).expect("a good configuration");
    let printed = loaded.to_toml();
    assert_eq!(config(&printed, &[]), loaded.config, "{printed}");
    // A drill passes the settings on as environment variables.
    let given = loaded.origins.iter().filter(|setting| setting.origin != Origin::Default);
    let variables: Vec<(String, String)> =
        given.map(|setting| (setting.variable(), setting.value.clone().expect("set"))).collect();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(config("", &variables), loaded.config, "{variables:?}");
}

#[test]
fn refused_headers() {
    for (header, why) in [
        ("\"X Key\" = \"a\"", "the header `X Key` in `agent.headers` has an invalid name"),
        ("\"\" = \"a\"", "the header `` in `agent.headers` has an invalid name"),
        ("X-Key = \"a\\nb\"", "the header `X-Key` in `agent.headers` has an invalid value; expected visible"),
        ("X-Key = \" a\"", "the header `X-Key` in `agent.headers` has an invalid value"),
        ("X-Key = \"é\"", "the header `X-Key` in `agent.headers` has an invalid value"),
        ("X-Key = 5", "the header `X-Key` in `agent.headers` is neither text nor { file = \"/path\" }"),
        ("X-Key = { path = \"/a\" }", "the header `X-Key` in `agent.headers` is neither text nor"),
        ("X-Key = { file = \"/a\", x = 1 }", "the header `X-Key` in `agent.headers` is neither text nor"),
        (
            "X-Key = { file = \"key\" }",
            "the header `X-Key` in `agent.headers` names a file without an absolute",
        ),
        ("X-Key = \"a\", x-key = \"b\"", "the header `x-key` in `agent.headers` is set twice"),
        ("Host = \"a\"", "the header `Host` in `agent.headers` is reserved for drainhook; remove it"),
        ("content-length = \"1\"", "the header `content-length` in `agent.headers` is reserved"),
        ("Transfer-Encoding = \"chunked\"", "the header `Transfer-Encoding` in `agent.headers` is reserved"),
        ("Connection = \"close\"", "the header `Connection` in `agent.headers` is reserved"),
        ("TE = \"trailers\"", "the header `TE` in `agent.headers` is reserved"),
        ("Upgrade = \"h2c\"", "the header `Upgrade` in `agent.headers` is reserved"),
        ("Prefer = \"wait=1\"", "the header `Prefer` in `agent.headers` is reserved"),
        (
            "Authorization = \"Basic YTpi\"",
            "the header `Authorization` in `agent.headers` is a secret; put the value into a file, and write { file = \"/path\" }",
        ),
        (
            "X-Why = \"{reason}\"",
            "the header `X-Why` in `agent.headers` cannot use {reason}; it can use {instance_id}",
        ),
    ] {
        let told = problems(&format!("[agent]\nheaders = {{ {header} }}"), &[]);
        assert!(told.starts_with(&format!("test.toml:2: {why}")), "{header}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let told = problems("[agent]\ntoken_file = \"/etc/t\"\nheaders.Authorization.file = \"/etc/a\"", &[]);
    assert!(told.contains("`Authorization` in `agent.headers` is set by `agent.token_file`, too"), "{told}");
    for text in ["X-Team: blue", "5", "{", "{ a = 'b' } }"] {
        let told = problems("", &[("DRAINHOOK_AGENT__HEADERS", text)]);
        assert!(
            told.starts_with("DRAINHOOK_AGENT__HEADERS: `agent.headers` is ")
                && told.contains("but it is not a table of TOML; expected a table of header names and values, written like {"),
            "{told}"
        );
    }
    let long = format!("[agent]\nheaders.X = \"{}\"", "x".repeat(4096));
    assert!(problems(&long, &[]).contains("but it is longer than 4096 bytes"));
}

#[test]
fn refused_bodies_and_codes() {
    for (line, told) in [
        (
            "drain.body = \"{region}\"",
            "`agent.drain.body` cannot use {region}; it can use {reason}, {deadline} or {instance_id}",
        ),
        (
            "return.body = \"{deadline}\"",
            "`agent.return.body` cannot use {deadline}; it can use {instance_id}",
        ),
        ("drain.body = \"\\u0000\"", "`agent.drain.body` is \"\\0\"; expected text of up to 4096 bytes"),
        ("drain.body = 5", "`agent.drain.body` is 5 (an integer); expected text of up to 4096 bytes"),
        (
            "drain.success = [204]",
            "`agent.drain.success` is \"204\", but every 2xx means success anyway; expected status codes from 300 to 599, \
             written like [409]",
        ),
        ("drain.success = []", "`agent.drain.success` is \"\"; expected status codes from 300 to 599"),
        ("drain.success = [\"409\"]", "`agent.drain.success` is [\"409\"] (an array); expected status codes"),
        ("return.success = [409, 600]", "`agent.return.success` is \"409,600\"; expected status codes"),
        ("return.success = 409", "`agent.return.success` is 409 (an integer); expected status codes"),
        (
            "drain.method = \"put\"",
            "`agent.drain.method` is \"put\"; expected `POST`, `PUT`, `PATCH`, `GET` or",
        ),
        ("return.path = \"drain\"", "`agent.return.path` is \"drain\"; expected a path that starts with `/`"),
        ("drain.headers = {}", "unknown key `agent.drain.headers`; did you mean `agent.headers`?"),
        (
            "status.token_file = \"/t\"",
            "unknown key `agent.status.token_file`; did you mean `agent.token_file`?",
        ),
    ] {
        let found = problems(&format!("[agent]\n{line}"), &[]);
        assert!(found.starts_with(&format!("test.toml:2: {told}")), "{line}: {found}");
    }
    let body = |length| format!("[agent]\ndrain.body = \"{}\"", "x".repeat(length));
    config(&body(4096), &[]);
    assert!(problems(&body(4097), &[]).contains("but it is longer than 4096 bytes"));
    let body = agent("", &[("DRAINHOOK_AGENT__DRAIN__BODY", "")]).drain.body;
    assert_eq!(body, Body::Text(Template::default()), "empty: no body");
    assert_eq!(agent("", &[("DRAINHOOK_AGENT__DRAIN__SUCCESS", "409, 404")]).drain.success, [409, 404]);
}

/// Settings that are valid and probably a mistake.
#[test]
fn doubtful_requests() {
    let warnings = |text: &str| load(&format!("[agent]\n{text}"), &[]).expect("valid").warnings();
    for (text, expected) in [
        (
            "drain.method = \"DELETE\"",
            "DELETE /drain both drains the agent and returns it to service; set agent.return.method, agent.return.path or",
        ),
        ("return.method = \"POST\"", "POST /drain both drains the agent and returns it to service"),
        (
            "drain.method = \"GET\"\ndrain.blocks = true\ndrain.body = \"now\"",
            "agent.drain.body has no effect because agent.drain.method is GET; remove one of them",
        ),
        ("return.body = \"up\"", "agent.return.body has no effect because agent.return.method is DELETE"),
        (
            "url = \"http://a.internal\"\nallow_host = \"a.internal\"\nheaders.X-Key.file = \"/etc/key\"",
            "the header x-key in agent.headers is sent to a.internal in clear text",
        ),
    ] {
        let warnings = warnings(text);
        assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{text}: {warnings:?}");
    }
    for good in [
        "return.method = \"POST\"\nreturn.path = \"/start\"",
        "drain.method = \"PUT\"\ndrain.body = \"off\"\nreturn.method = \"PUT\"\nreturn.body = \"on\"",
        "drain.body = \"\"",
        "drain.success = [409]",
    ] {
        assert_eq!(warnings(good), [""; 0], "{good}");
    }
}
