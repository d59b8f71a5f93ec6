//! `drainhook simulate --serve`: keeps a simulated AWS up until it is interrupted.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::serve::{Addresses, Service};
use sim::world::WorldConfig;

use super::SimulateError;
use super::environment::{self, Variables, exports};
use super::timeline::{Style, Timeline};
use crate::cli::output::{put, word};
use crate::cli::terminal::columns;

/// The file in the simulator's own folder from which the printed commands read their environment, unless the user names one.
const ENV_FILE: &str = "environment";

/// Serves until interrupted. Shows what happens if standard output is a terminal. Writes the environment of the first instance's
/// daemon to `env_file`.
pub async fn run(
    world: WorldConfig,
    speed: u32,
    env_file: Option<&Path>,
    style: Style,
) -> Result<(), SimulateError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SimulateError::Serve)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SimulateError::Serve)?;
    let (clock, scale) = super::clock(speed);
    let service = Service::start(world, clock, Addresses::default()).await.map_err(SimulateError::Serve)?;
    let folder = tempfile::tempdir().map_err(SimulateError::Folder)?;

    let mut common = environment::common(&service, scale);
    common.extend(environment::credentials());
    let mut own = Vec::new();
    for view in service.instances() {
        let endpoints = service.endpoints(&view.id).ok_or(SimulateError::NoEndpoints)?;
        let folder = folder.path().join(&view.id);
        std::fs::create_dir(&folder).map_err(SimulateError::Folder)?;
        own.push((view.id, environment::instance(&endpoints, &folder)));
    }
    let steps = style != Style::Json && columns().is_some();
    let own_file = steps.then(|| folder.path().join(ENV_FILE));
    let env_file = env_file.or(own_file.as_deref());
    let first = own.first();
    if let Some(file) = env_file {
        let variables = common.iter().chain(first.iter().flat_map(|(_, variables)| variables));
        fs::write(file, exports(variables))
            .map_err(|error| SimulateError::EnvFile { file: file.to_owned(), error })?;
    }
    let printed =
        if style == Style::Json { print_json(&service, &common, &own) } else { print(&common, &own) };
    printed.map_err(SimulateError::Serve)?;
    if let (true, Some(file), Some((id, _))) = (steps, env_file, first) {
        put(&next_steps(&program(), file, id));
    }

    let timeline = Timeline::new(style, clock.now(), None);
    let mut changed = service.subscribe();
    loop {
        changed.borrow_and_update();
        let happenings = service.world(|world, _| world.take_happenings());
        // A program reads only the environment, so what happens is shown only on a terminal.
        if style == Style::Live {
            for (at, happening) in happenings {
                timeline.tell(at, &happening);
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    service.stop().await;
    Ok(())
}

fn print(common: &Variables, instances: &[(String, Variables)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, value) in common {
        writeln!(out, "export {name}={}", word(value))?;
    }
    for (id, variables) in instances {
        write!(out, "{id} ")?;
        for (name, value) in variables {
            write!(out, " {name}={}", word(value))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "ready")?;
    out.flush()
}

/// The name or path under which a shell finds this program.
fn program() -> String {
    let by_path = env::args().next().is_some_and(|name| name.contains('/'));
    let path = env::current_exe().ok().filter(|_| by_path);
    path.map_or_else(|| "drainhook".to_owned(), |path| path.display().to_string())
}

/// Commands for another terminal. Each reads the environment from the file, so that it can be pasted alone.
fn next_steps(program: &str, file: &Path, instance: &str) -> String {
    // The shell's `.` searches PATH for a file without a slash.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let (program, file) = (word(program), file.display().to_string());
    let file = word(&file);
    format!(
        "\n\
         In another terminal, run the daemon of {instance}:\n\
         \x20 . {file} && {program} run\n\
         In a third terminal, check the daemon and terminate its instance:\n\
         \x20 . {file} && {program} check\n\
         \x20 . {file} && aws autoscaling terminate-instance-in-auto-scaling-group --instance-id {instance} \
         --should-decrement-desired-capacity\n\
         Stop the simulated AWS with Ctrl-C.\n\n"
    )
}

fn print_json(service: &Service, common: &Variables, instances: &[(String, Variables)]) -> io::Result<()> {
    let object = |variables: &Variables| -> Map<String, Value> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect()
    };
    let instances: Vec<Value> = instances
        .iter()
        .map(|(id, variables)| json!({ "id": id, "environment": object(variables) }))
        .collect();
    let (group, hook, queue) = service.world(|world, _| {
        let config = world.config();
        (config.group.clone(), config.hooks.first().map(|hook| hook.name.clone()), config.queue.clone())
    });
    let ready = json!({
        "event": "ready",
        "environment": object(common),
        "instances": instances,
        "group": group,
        "hook": hook,
        "queue_url": queue.map(|queue| service.queue_url(&queue)),
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_steps_can_be_pasted() {
        let steps = next_steps("/opt/my tools/drainhook", Path::new("/tmp/x/environment"), "i-1");
        let commands: Vec<&str> = steps.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(
            commands,
            [
                ". /tmp/x/environment && '/opt/my tools/drainhook' run",
                ". /tmp/x/environment && '/opt/my tools/drainhook' check",
                ". /tmp/x/environment && aws autoscaling terminate-instance-in-auto-scaling-group --instance-id i-1 \
                 --should-decrement-desired-capacity",
            ]
        );
        let relative = next_steps("drainhook", Path::new("aws.env"), "i-1");
        assert!(relative.contains("  . /") && relative.contains("/aws.env && drainhook run\n"), "{relative}");
    }
}
