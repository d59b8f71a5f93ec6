//! Reads the files that hold secrets: an agent's bearer token, and the values of headers.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};

/// The longest file that is read.
const SECRET_MAX: usize = 16 * 1024;

/// Reads the token into an `Authorization` header value. The error names the file. Blocks: the file is small, and a thread
/// would cost more than the read.
pub fn authorization(path: &Path) -> Result<HeaderValue, String> {
    let told = |why: String| format!("cannot use token_file {}: {why}", path.display());
    let text = read_text(path).map_err(|error| told(error.to_string()))?;
    let token = text.trim();
    let fit = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = fit.then(|| sensitive(&format!("Bearer {token}"))).flatten();
    value.ok_or_else(|| told("it contains no bearer token".to_owned()))
}

/// Reads the value of a header. The error names the header and the file. Blocks, for the same reason.
pub fn header(name: &HeaderName, path: &Path) -> Result<HeaderValue, String> {
    let told = |why: String| format!("cannot use the file {} for the header {name}: {why}", path.display());
    let text = read_text(path).map_err(|error| told(error.to_string()))?;
    let value = text.trim();
    let fit = !value.is_empty() && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let value = fit.then(|| sensitive(value)).flatten();
    value.ok_or_else(|| told("it does not contain one line of visible ASCII".to_owned()))
}

/// A value that is kept out of Debug output.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read_text(path: &Path) -> io::Result<String> {
    let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // Opening a named pipe would block the daemon.
    if !path.metadata()?.is_file() {
        return invalid("it is not a regular file");
    }
    let mut text = String::new();
    File::open(path)?.take(SECRET_MAX as u64 + 1).read_to_string(&mut text)?;
    if text.len() > SECRET_MAX { invalid("it is longer than 16 KiB") } else { Ok(text) }
}
