//! The shell command that returns an agent with an HTTP interface to service.

use crate::cli::output::word;
use crate::config::{Address, Header, HeaderText, HttpAgent};

/// The command. `None` if the request has a placeholder, because this process may not know its value.
pub fn written(agent: &HttpAgent) -> Option<String> {
    let request = &agent.back;
    let mut words = vec![format!("curl -X {}", request.method.as_str())];
    for header in &agent.headers {
        words.push(format!("-H {}", written_header(header)?));
    }
    if let Some(file) = &agent.token_file {
        words.push(format!("-H \"Authorization: Bearer $(cat {})\"", word(&file.display().to_string())));
    }
    let body = if request.method.has_body() { request.body.constant()? } else { "" };
    if !body.is_empty() {
        if agent.headers.iter().all(|header| header.name != "content-type") {
            words.push("-H 'Content-Type: application/json'".to_owned());
        }
        words.push(format!("--data-raw {}", word(body)));
    }
    let base = match &agent.address {
        Address::Url(url) => url.as_str(),
        Address::Unix(path) => {
            words.push(format!("--unix-socket {}", word(&path.display().to_string())));
            "http://localhost"
        }
    };
    let url = format!("{}/{}", base.trim_end_matches('/'), request.path.trim_start_matches('/'));
    words.push(word(&url).into_owned());
    Some(words.join(" "))
}

fn written_header(header: &Header) -> Option<String> {
    let name = header.name.as_str();
    Some(match &header.value {
        HeaderText::Text(text) => word(&format!("{name}: {}", text.constant()?)).into_owned(),
        HeaderText::File(file) => format!("\"{name}: $(cat {})\"", word(&file.display().to_string())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AgentKind, Config, Flag};
    use std::path::Path;

    fn command(address: &str, settings: &[(&str, &str)]) -> Option<String> {
        let variables =
            settings.iter().map(|(name, value)| (format!("DRAINHOOK_AGENT__{name}"), (*value).to_owned()));
        let flags = [Flag::agent(address.to_owned())];
        let loaded = Config::load(Some(Path::new("/dev/null")), variables, &flags).expect("good");
        match &loaded.config.agents[0].kind {
            AgentKind::Http(http) => written(http),
            AgentKind::Command(_) | AgentKind::Unit(_) => panic!("its flag is an address"),
        }
    }

    #[test]
    fn commands_that_return_an_agent() {
        for (address, settings, expected) in [
            ("http://127.0.0.1:8080", &[] as &[_], "curl -X DELETE http://127.0.0.1:8080/drain"),
            ("http://127.0.0.1:8080/a/", &[], "curl -X DELETE http://127.0.0.1:8080/a/drain"),
            ("http://[::1]:8080", &[], "curl -X DELETE 'http://[::1]:8080/drain'"),
            (
                "/run/worker.sock",
                &[("TOKEN_FILE", "/etc/worker/token")],
                "curl -X DELETE -H \"Authorization: Bearer $(cat /etc/worker/token)\" --unix-socket /run/worker.sock \
                 http://localhost/drain",
            ),
            (
                "http://127.0.0.1:8080",
                &[
                    ("RETURN__METHOD", "PUT"),
                    ("RETURN__PATH", "/v1/info/state"),
                    ("RETURN__BODY", "\"ACTIVE\""),
                    ("HEADERS", "{ X-Trino-User = 'admin', X-Key = { file = '/etc/key' } }"),
                ],
                "curl -X PUT -H \"x-key: $(cat /etc/key)\" -H 'x-trino-user: admin' \
                 -H 'Content-Type: application/json' --data-raw '\"ACTIVE\"' http://127.0.0.1:8080/v1/info/state",
            ),
        ] {
            assert_eq!(command(address, settings).as_deref(), Some(expected));
        }
        let body = [("RETURN__METHOD", "POST"), ("RETURN__BODY", "{instance_id}")];
        assert_eq!(command("http://127.0.0.1:8080", &body), None);
    }
}
