//! Serves the metadata service of one instance.

use std::future::pending;
use std::sync::Arc;

use hyper::Method;

use sim::world::{ImdsAnswer, ImdsMode};

use super::http::{Answer, Request};
use super::service::Shared;

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_PATH: &str = "/latest/api/token";

pub(super) async fn answer(shared: Arc<Shared>, instance: String, request: Request) -> Answer {
    let mode = shared.with(|world, _| world.instance(&instance).map(|instance| instance.imds_mode));
    if mode == Some(ImdsMode::Hangs) {
        return pending().await;
    }
    // IMDSv2 refuses requests that came through a proxy.
    if request.header("x-forwarded-for").is_some() {
        return write(ImdsAnswer::error(403));
    }
    let answer = match (&request.method, request.path.as_str()) {
        (&Method::PUT, TOKEN_PATH) => {
            shared.with(|world, now| world.imds_token(now, &instance, request.header(TTL)))
        }
        // A versioned token path, or another method on the token path: AWS returned 403 in recordings.
        (&Method::PUT, _) | (_, TOKEN_PATH) => ImdsAnswer::error(403),
        (&Method::GET | &Method::HEAD, path) => {
            shared.with(|world, now| world.imds_get(now, &instance, request.header(TOKEN), path))
        }
        _ => ImdsAnswer::error(405),
    };
    write(answer)
}

fn write(answer: ImdsAnswer) -> Answer {
    // Errors are HTML pages. Everything else is plain text.
    let content_type = if answer.status == 200 { "text/plain" } else { "text/html" };
    let written = Answer::new(answer.status, content_type, answer.body).header("server", "EC2ws");
    match answer.token_ttl {
        Some(ttl) => written.header(TTL, ttl.to_string()),
        None => written,
    }
}
