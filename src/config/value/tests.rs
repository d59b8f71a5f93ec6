use super::*;

#[test]
fn durations_out_of_bounds() {
    let kind = Kind::Duration { min: Duration::from_millis(100), max: Duration::from_secs(60) };
    assert!(kind.parse("100ms").is_ok() && kind.parse("1m").is_ok());
    for text in ["0s", "99ms", "61s", "60001ms"] {
        assert!(kind.parse(text).is_err(), "{text}");
    }
}

#[test]
fn agent_urls() {
    let url = |text| Kind::AgentUrl.parse(text);
    assert_eq!(url("http://127.0.0.1:8080/"), Ok(Value::Text("http://127.0.0.1:8080".into())));
    assert_eq!(url("http://[::1]:9/base/"), Ok(Value::Text("http://[::1]:9/base".into())));
    for bad in [
        "127.0.0.1:8080",
        "localhost:8080",
        "ftp://localhost",
        "http://",
        "http://u:p@localhost",
        "http://localhost/?x=1",
        "http://localhost/#x",
        "http://localhost:0",
    ] {
        assert!(url(bad).is_err(), "{bad}");
    }
    assert_eq!(
        url("https://localhost"),
        Err(Some("agents are local and reached by plain HTTP; write http:// or use `unix`"))
    );
}

#[test]
fn lists_of_hosts() {
    let good = |hosts: &[&str]| Ok(Value::Hosts(hosts.iter().map(|host| (*host).to_owned()).collect()));
    assert_eq!(Kind::Hosts.parse("localstack"), good(&["localstack"]));
    assert_eq!(
        Kind::Hosts.parse("10.0.0.1, [fd00::1],LocalStack"),
        good(&["10.0.0.1", "[fd00::1]", "LocalStack"])
    );
    for bad in ["", ",", "a,", "http://a", "a:80", "a/b", "a b", "user@a"] {
        assert!(Kind::Hosts.parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn queue_urls() {
    for good in [
        "https://sqs.eu-west-1.amazonaws.com/123456789012/workers-termination",
        "http://127.0.0.1:4566/000000000000/q",
        "http://127.0.0.1:4566/queue/eu-west-1/000000000000/q",
    ] {
        assert!(Kind::QueueUrl.parse(good).is_ok(), "{good}");
    }
    for bad in [
        "workers-termination",
        "arn:aws:sqs:eu-west-1:123456789012:q",
        "https://sqs.eu-west-1.amazonaws.com/",
        "https://sqs.eu-west-1.amazonaws.com/q",
        "https://h/123456789012/q/more",
        "https://h/123456789012/q.fifo",
        "ftp://h/123456789012/q",
    ] {
        assert!(Kind::QueueUrl.parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_and_ids() {
    assert!(Kind::HookName.parse("drain/first_1-a").is_ok());
    assert!(Kind::HookName.parse(&"h".repeat(255)).is_ok());
    assert!(Kind::HookName.parse(&"h".repeat(256)).is_err());
    assert!(Kind::HookName.parse("two words").is_err());
    assert!(Kind::GroupName.parse("my workers (blue)").is_ok());
    assert!(Kind::GroupName.parse("a\nb").is_err());
    for good in ["i-0123abcd", "i-0123456789abcdef0"] {
        assert!(Kind::InstanceId.parse(good).is_ok(), "{good}");
    }
    for bad in ["0123abcd", "i-0123abc", "i-0123456789abcdef01", "i-0123ABCD", "i-0123abcg"] {
        assert!(Kind::InstanceId.parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_rest() {
    assert!(Kind::Path.parse("/run/a.sock").is_ok());
    assert!(Kind::Path.parse("run/a.sock").is_err());
    assert!(Kind::SocketPath.parse("run/a.sock").is_err());
    assert!(Kind::SocketPath.parse(&format!("/{}", "s".repeat(106))).is_ok());
    assert!(Kind::SocketPath.parse(&format!("/{}", "s".repeat(107))).is_err_and(|why| why.is_some()));
    assert!(Kind::User.parse("worker").is_ok() && Kind::User.parse("998").is_ok());
    assert!(Kind::User.parse("two words").is_err());
    for good in ["worker.service", "worker@1.service", "dev-sda\\x2d1.service"] {
        assert!(Kind::Unit.parse(good).is_ok(), "{good}");
    }
    for bad in ["worker", "worker.socket", ".service", "worker@.service", "a b.service", "../a.service", "-"]
    {
        assert!(Kind::Unit.parse(bad).is_err(), "{bad}");
    }
    assert!(Kind::HttpPath.parse("/v1/drain?force=1").is_ok());
    assert!(Kind::HttpPath.parse("drain").is_err());
    assert!(Kind::HttpPath.parse("/a b").is_err());
    assert_eq!(Kind::Flag.parse("true"), Ok(Value::Flag(true)));
    assert!(Kind::Flag.parse("yes").is_err());
    assert!(Kind::Choice(&["a", "b"]).parse("A").is_err());
    assert!(Kind::Text.parse("").is_err());
}
