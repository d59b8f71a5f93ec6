//! `drainhook finish`: ends the current drain.

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Source, order};
use crate::daemon::control::Request;
use machine::effect::CompletionResult;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  drainhook finish --result CONTINUE")]
pub struct Args {
    /// The result to complete the lifecycle action with
    #[arg(long, value_parser = results(), ignore_case = true)]
    result: CompletionResult,

    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    order(&args.source, Request::Finish { result: args.result }).await
}

fn results() -> impl TypedValueParser<Value = CompletionResult> {
    let all = [CompletionResult::Continue, CompletionResult::Abandon];
    PossibleValuesParser::new(all.map(CompletionResult::as_str)).map(move |word| {
        // The parser accepts no other words.
        all.into_iter()
            .find(|result| result.as_str().eq_ignore_ascii_case(&word))
            .unwrap_or(CompletionResult::Continue)
    })
}
