//! The environment variables that point daemons and AWS clients at a simulated AWS, and how to write them for a shell.

use std::path::Path;

use crate::cli::output::quoted;
use crate::clock::Scale;
use crate::serve::{Endpoints, Service};

/// The variable for the folder of the journal.
pub const JOURNAL_FOLDER: &str = "DRAINHOOK_JOURNAL__DIR";

/// Variables, in the order in which they are printed.
pub type Variables = Vec<(&'static str, String)>;

/// Lines that export these variables in a POSIX shell.
pub fn exports<'a>(variables: impl IntoIterator<Item = &'a (&'static str, String)>) -> String {
    variables.into_iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

/// The variables that every program needs.
pub fn common(service: &Service, scale: Option<Scale>) -> Variables {
    let (region, queue) =
        service.world(|world, _| (world.config().region.clone(), world.config().queue.clone()));
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", service.aws_url().to_owned()),
        ("AWS_REGION", region.clone()),
        // boto3 reads only this one.
        ("AWS_DEFAULT_REGION", region),
    ];
    if let Some(queue) = queue {
        variables.push(("DRAINHOOK_QUEUE__URL", service.queue_url(&queue)));
    }
    if let Some(scale) = scale {
        variables.push(("DRAINHOOK_SIMULATION__CLOCK", scale.into()));
    }
    variables
}

/// Credentials for programs without an instance role. The simulated AWS accepts any.
pub fn credentials() -> Variables {
    vec![
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
    ]
}

/// The variables that the daemon of one instance needs in addition.
pub fn instance(endpoints: &Endpoints, folder: &Path) -> Variables {
    vec![
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoints.imds.clone()),
        ("DRAINHOOK_AGENT__URL", endpoints.agent.clone()),
        ("DRAINHOOK_CONTROL__SOCKET", folder.join("drainhook.sock").display().to_string()),
        (JOURNAL_FOLDER, folder.display().to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_values_are_quoted() {
        assert_eq!(exports(&vec![("A", "b".to_owned())]), "export A='b'\n");
    }
}
