//! How the agent's process ends and starts again.

use machine::Time;

use super::agent::{Agent, AgentMode, AgentState};
use super::{Happening, World};

/// A signal tells a process to drain, and nothing more.
const SIGNAL: &[u8] = br#"{"reason":"operator","deadline":null}"#;

impl World {
    /// Ends the agent's process. Connections are refused, and its work items are lost.
    pub fn exit_agent(&mut self, now: Time, instance: &str) {
        self.advance(now);
        let now = self.now;
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return;
        };
        let drain = agent.drain + 1;
        let work_lost = agent.killed(now);
        *agent = Agent {
            mode: AgentMode::Refuses,
            in_flight: 0,
            finished: agent.finished,
            lost: agent.lost,
            drain,
            process: agent.process,
            rhythm: agent.rhythm,
            ..Agent::serving(agent.work, now)
        };
        self.roster_version += 1;
        self.log(Happening::AgentExited { instance: instance.to_owned(), work_lost });
    }

    /// Restarts the agent's process. It serves and takes work again.
    pub fn start_agent(&mut self, now: Time, instance: &str) {
        self.advance(now);
        let now = self.now;
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return;
        };
        let Agent { work, rhythm, lost, drain, finished, process, .. } = *agent;
        let process = process + 1;
        *agent = Agent { rhythm, lost, drain, finished, process, ..Agent::serving(work, now) };
        let in_flight = agent.items(now);
        self.roster_version += 1;
        self.log(Happening::AgentStarted { instance: instance.to_owned(), in_flight });
    }

    /// Ends the agent's process and restarts it at once.
    pub fn restart_agent(&mut self, now: Time, instance: &str) {
        self.exit_agent(now, instance);
        self.start_agent(now, instance);
    }

    /// Signals the agent's process. The first signal starts its drain. A second one ends it, and its work items are lost.
    pub fn signal_agent(&mut self, now: Time, instance: &str) {
        self.advance(now);
        match self.agent(instance) {
            Some(agent) if agent.mode != AgentMode::Answers => {}
            Some(agent) if agent.state == AgentState::Serving => {
                self.agent_post(now, instance, SIGNAL);
            }
            Some(_) => self.exit_agent(now, instance),
            None => {}
        }
    }

    /// Lets the stuck work items finish.
    pub fn free_stuck_work(&mut self, now: Time, instance: &str) {
        self.advance(now);
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return;
        };
        // Only stuck items are left.
        let stuck = std::mem::take(&mut agent.work.stuck);
        if agent.state == AgentState::Draining && agent.in_flight <= stuck {
            self.finish_next(instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Work, WorldConfig};
    use super::*;

    const START: Time = Time::from_unix_ms(1_764_000_000_000);
    const ORDER: &[u8] = br#"{"reason":"operator","deadline":null}"#;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn world(config: WorldConfig) -> (World, String) {
        let world = World::new(config, START);
        let id = world.instances()[0].id.clone();
        (world, id)
    }

    fn work(stuck: u32) -> Work {
        Work { items: 3, duration: secs(60), stuck }
    }

    #[test]
    fn agent_crashes_and_is_restarted() {
        let (mut world, id) = world(WorldConfig { work: work(0), ..WorldConfig::default() });
        world.agent_post(START, &id, ORDER);
        world.exit_agent(START + secs(30), &id);
        let agent = world.instance(&id).expect("known").agent;
        assert_eq!((agent.mode, agent.in_flight, agent.lost), (AgentMode::Refuses, 0, 2));
        world.advance(START + secs(600));
        assert_eq!(world.instance(&id).expect("known").agent.in_flight, 0, "a dead process finishes nothing");
        world.start_agent(START + secs(600), &id);
        let agent = world.instance(&id).expect("known").agent;
        assert_eq!((agent.state, agent.in_flight, agent.lost), (AgentState::Serving, 3, 2));
    }

    #[test]
    fn agent_exits_when_drained() {
        let config = WorldConfig { work: work(0), agent_exits: true, ..WorldConfig::default() };
        let (mut world, id) = world(config);
        world.agent_post(START, &id, ORDER);
        world.advance(START + secs(60));
        assert_eq!(world.instance(&id).expect("known").agent.mode, AgentMode::Refuses);
        let happened = world.take_happenings();
        let exited =
            |(_, one): &(Time, Happening)| matches!(one, Happening::AgentExited { work_lost: 0, .. });
        let drained = |(_, one): &(Time, Happening)| matches!(one, Happening::AgentDrained { .. });
        assert!(happened.iter().any(exited) && !happened.iter().any(drained));
    }

    /// The second signal to a process cuts its work off. The next process starts with new work, and its first signal does not.
    #[test]
    fn agent_is_signaled() {
        let config = WorldConfig { work: work(0), agent_exits: true, ..WorldConfig::default() };
        let (mut world, id) = world(config);
        world.signal_agent(START, &id);
        world.advance(START + secs(30));
        let agent = world.instance(&id).expect("known").agent;
        assert_eq!((agent.process, agent.state, agent.in_flight), (1, AgentState::Draining, 2));
        world.signal_agent(START + secs(30), &id);
        let agent = world.instance(&id).expect("known").agent;
        assert_eq!((agent.mode, agent.lost), (AgentMode::Refuses, 2));
        world.start_agent(START + secs(40), &id);
        world.signal_agent(START + secs(40), &id);
        world.advance(START + secs(100));
        let agent = world.instance(&id).expect("known").agent;
        assert_eq!((agent.process, agent.mode, agent.lost), (2, AgentMode::Refuses, 2));
    }

    #[test]
    fn freed_stuck_work() {
        let (mut world, id) = world(WorldConfig { work: work(1), ..WorldConfig::default() });
        world.agent_post(START, &id, ORDER);
        world.advance(START + secs(600));
        assert_eq!(world.instance(&id).expect("known").agent.in_flight, 1);
        world.free_stuck_work(START + secs(600), &id);
        world.advance(START + secs(620));
        assert_eq!(world.instance(&id).expect("known").agent.state, AgentState::Drained);
    }
}
