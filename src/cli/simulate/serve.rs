//! `drainhook simulate --serve`: a simulated AWS that stays up until it is interrupted.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::serve::{Addresses, Service};
use sim::world::WorldConfig;

use super::SimulateError;
use super::environment::{self, Variables};
use super::timeline::{Style, Timeline};

/// Serves until interrupted, and shows on a terminal what happens.
pub async fn run(world: WorldConfig, speed: u32, style: Style) -> Result<(), SimulateError> {
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
    let printed =
        if style == Style::Json { print_json(&service, &common, &own) } else { print(&common, &own) };
    printed.map_err(SimulateError::Serve)?;

    let timeline = Timeline::new(style, clock.now(), None);
    let mut changed = service.subscribe();
    loop {
        changed.borrow_and_update();
        let happenings = service.world(|world, _| world.take_happenings());
        // A program that has read the environment does not read on: only a person is told more.
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
        writeln!(out, "export {name}={value}")?;
    }
    for (id, variables) in instances {
        write!(out, "{id} ")?;
        for (name, value) in variables {
            write!(out, " {name}={value}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "ready")?;
    out.flush()
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
