//! The plain HTTP client for agents and IMDS: no proxy, no redirects, no retries. Responses are capped, and errors are one
//! line.
//!
//! - [`connection`]: sends one request at a time, each at most once.

pub(crate) mod connection;

use std::error::Error;
use std::io;
use std::iter::successors;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use url::Url;

use formats::text::printable;

/// The longest text of an error and its causes, in characters.
const CAUSES_MAX: usize = 500;

/// Why the body of a response could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError<E: Error + 'static> {
    /// It is longer than its cap.
    #[error("the response is longer than {max} bytes")]
    TooLong {
        /// The cap.
        max: usize,
    },
    /// The connection broke, or time ran out.
    #[error("{}", causes(.0))]
    Broken(E),
}

/// The `Host` header of a request to a URL.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Reads a body to its end, or up to `max` bytes.
pub(crate) async fn read_capped<B>(body: &mut B, max: usize) -> Result<Vec<u8>, ReadError<B::Error>>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    if body.size_hint().lower() > max as u64 {
        return Err(ReadError::TooLong { max });
    }
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(ReadError::Broken)?.into_data() else { continue };
        if read.len() + data.len() > max {
            return Err(ReadError::TooLong { max });
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// The first cause of this type, the error itself included. An I/O error hides the one that it wraps from `source`.
pub(crate) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|cause| {
        let wrapped = || cause.downcast_ref::<io::Error>()?.get_ref();
        cause.downcast_ref().or_else(|| find(wrapped()?))
    })
}

/// The first I/O error among the causes of an error.
pub(crate) fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    find::<io::Error>(error).map(io::Error::kind)
}

/// An error and its causes, in a line.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = chain(error).map(ToString::to_string).collect();
    printable(&causes.join(": "), CAUSES_MAX)
}

/// An error and its causes.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}
