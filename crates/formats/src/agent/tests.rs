use super::*;

fn status(body: &str) -> AgentStatus {
    read(body.as_bytes()).unwrap_or_else(|why| panic!("{body}: {why}")).status
}

fn ignored(body: &str) -> String {
    read(body.as_bytes()).unwrap_or_else(|why| panic!("{body}: {why}")).ignored.unwrap_or_default()
}

#[test]
fn whole_document() {
    let body =
        br#" {"state":"draining","in_flight":3,"gauges":{"connections_open":7.5},"detail":"a\nb","x":1}"#;
    let status = AgentStatus {
        state: AgentState::Draining,
        in_flight: Some(3),
        gauges: BTreeMap::from([("connections_open".to_owned(), 7.5)]),
        detail: Some(r"a\nb".to_owned()),
    };
    assert_eq!(read(body), Ok(Document { status, ignored: None }));
}

#[test]
fn smallest_document() {
    let document = read(br#"{"state":"drained","in_flight":null,"gauges":null,"detail":null}"#);
    let document = document.expect("all other fields are optional");
    assert_eq!((document.status.state, document.status.in_flight), (AgentState::Drained, None));
    assert_eq!(document.ignored, None, "null counts as absent");
}

#[test]
fn wrong_documents() {
    let bad = [
        "",
        "drained",
        "[\"drained\"]",
        "{}",
        r#"{"state":"Drained"}"#,
        r#"{"state":"done"}"#,
        r#"{"state":null}"#,
        r#"{"state":NaN}"#,
        r#"{"state":"draining","state":"drained"}"#,
        r#"{"state":"drained"} and more"#,
        r#"{"state":"drained""#,
        r#"{"state":"drained","gauges":{"x":NaN}"#,
        r#"{"state":"drained","detail":"NaN"#,
        r#"{"state":"drained","x":-NaN}"#,
    ];
    for body in bad {
        assert!(read(body.as_bytes()).is_err(), "{body}");
    }
}

/// An agent reports that it has drained, with unusable values in other fields. Only those fields are dropped.
#[test]
fn unusable_optional_fields_do_not_hold_up_a_drain() {
    for (field, said) in [
        (r#""in_flight":-1"#, "in_flight, which is -1"),
        (r#""in_flight":1.5"#, "in_flight, which is 1.5"),
        (r#""in_flight":"3""#, r#"in_flight, which is "3""#),
        (r#""in_flight":1e308"#, "in_flight, which is 1e308"),
        (r#""in_flight":1e999"#, "in_flight, which is 1e999"),
        (r#""in_flight":18446744073709551616"#, "in_flight"),
        (r#""in_flight":9007199254740993"#, "in_flight"),
        (r#""in_flight":NaN"#, "NaN"),
        (r#""gauges":{"x":"y"}"#, r#"the gauge "x", which is "y""#),
        (r#""gauges":{"x":1e999}"#, r#"the gauge "x""#),
        (r#""gauges":{"x":true}"#, r#"the gauge "x""#),
        (r#""gauges":{"x":NaN,"y":-Infinity}"#, "NaN"),
        (r#""gauges":{"\ud800":1}"#, "gauges, which is"),
        (r#""gauges":[]"#, "gauges, which is []"),
        (r#""gauges":"none""#, "gauges"),
        (r#""detail":7"#, "detail, which is 7"),
        (r#""detail":"cut \ud83d""#, "detail"),
        (r#""x":1e999"#, ""),
    ] {
        let body = format!(r#"{{"state":"drained",{field}}}"#);
        assert_eq!(status(&body).state, AgentState::Drained, "{body}");
        assert!(ignored(&body).contains(said), "{body}: {}", ignored(&body));
        assert_eq!(ignored(&body).is_empty(), said.is_empty(), "{body}: {}", ignored(&body));
    }
}

#[test]
fn responses_with_only_work_in_flight() {
    for (body, expected) in [
        (&br#"{"in_flight":3}"#[..], Some(3)),
        (br#"{"in_flight":3.0}"#, Some(3)),
        (br#"{"in_flight":0.5}"#, Some(1)),
        (br#"{"in_flight":3,"gauges":{"x":NaN}}"#, Some(3)),
        (b"{\"in_flight\":3,\"detail\":\"gel\xf6scht\"}", Some(3)),
        (br#"{"in_flight":0}"#, None),
        (br#"{"in_flight":0.0}"#, None),
        (br#"{"in_flight":-0.5}"#, None),
        (br#"{"in_flight":-1}"#, None),
        (br#"{"in_flight":1e308}"#, Some(IN_FLIGHT_MAX)),
        (br#"{"in_flight":"3"}"#, None),
        (br#"{"in_flight":NaN}"#, None),
        (br#"{"drained":true}"#, None),
        (b"drained", None),
        (b"", None),
    ] {
        assert_eq!(work_in_flight(body), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn usable_fields_are_kept() {
    let body =
        r#"{"state":"draining","in_flight":9007199254740992,"gauges":{"mean":null,"open":7,"p99":"fast"}}"#;
    assert_eq!(status(body).gauges, BTreeMap::from([("open".to_owned(), 7.0)]));
    assert_eq!(status(body).in_flight, Some(IN_FLIGHT_MAX));
    assert_eq!(status(r#"{"state":"draining","in_flight":3.0}"#).in_flight, Some(3));
    let nan =
        r#"{"state":"draining","detail":"NaN \"Infinity\" - I","in_flight":3,"gauges":{"x":NaN,"y":-2}}"#;
    assert_eq!(status(nan).detail.as_deref(), Some(r#"NaN "Infinity" - I"#));
    assert_eq!(status(nan).gauges, BTreeMap::from([("y".to_owned(), -2.0)]));
    let latin = read(b"{\"state\":\"drained\",\"detail\":\"gel\xf6scht\"}").expect("only its detail is odd");
    assert_eq!(latin.status.detail.as_deref(), Some("gel\u{fffd}scht"));
}

#[test]
fn bounds() {
    let many: Vec<String> = (0..GAUGES_MAX + 9).map(|n| format!("\"g{n}\":1")).collect();
    let long = "n".repeat(GAUGE_NAME_MAX + 1);
    let body = format!(
        r#"{{"state":"drained","gauges":{{"{long}":1,"a\nb":1,{}}},"detail":"{}"}}"#,
        many.join(","),
        "é".repeat(1000)
    );
    let status = status(&body);
    assert_eq!(status.gauges.len(), GAUGES_MAX);
    assert!(!status.gauges.contains_key(&long) && !status.gauges.contains_key("a\nb"));
    assert_eq!(status.detail.expect("there is one").chars().count(), DETAIL_MAX + 1);
    let told = ignored(&body);
    assert!(told.ends_with(", and 7 more") && told.len() < 1000, "{told}");
    let error =
        read(format!(r#"{{"state":"{}"}}"#, r"\u001b\n".repeat(9999)).as_bytes()).expect_err("no state");
    assert!(error.chars().count() < 1000 && !error.contains(char::is_control), "{error}");
}
