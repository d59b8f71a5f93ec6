//! Reads the file that holds an agent's bearer token.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hyper::header::HeaderValue;

/// The longest token file that is read.
const TOKEN_MAX: usize = 16 * 1024;

/// Reads the token into an `Authorization` header value. The error names the file. Blocks: the file is small, and a thread
/// would cost more than the read.
pub fn authorization(path: &Path) -> Result<HeaderValue, String> {
    let told = |why: String| format!("cannot use token_file {}: {why}", path.display());
    let text = read_text(path).map_err(|error| told(error.to_string()))?;
    let token = text.trim();
    let fit = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = fit
        .then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok())
        .flatten()
        .ok_or_else(|| told("it contains no bearer token".to_owned()))?;
    // Keeps the token out of Debug output.
    value.set_sensitive(true);
    Ok(value)
}

fn read_text(path: &Path) -> io::Result<String> {
    let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // Opening a named pipe would block the daemon.
    if !path.metadata()?.is_file() {
        return invalid("it is not a regular file");
    }
    let mut text = String::new();
    File::open(path)?.take(TOKEN_MAX as u64 + 1).read_to_string(&mut text)?;
    if text.len() > TOKEN_MAX { invalid("it is longer than 16 KiB") } else { Ok(text) }
}
