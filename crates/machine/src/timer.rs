//! The reasons for a wake-up.

/// What [`next_wake`](super::Machine::next_wake) is waiting for.
///
/// Only for people and traces. The machine checks what is due, not which timer fired, so an early or repeated one changes
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// IMDS has been silent for long enough that the queue becomes the first source.
    ImdsSilence,
    /// A notice comes into force or expires.
    Notice,
    /// A request to an agent is due.
    Agent,
    /// A report of an agent's progress is due.
    Progress,
    /// An unreachable agent's grace ends.
    Grace,
    /// The deadline of an agent.
    Deadline,
    /// The force step of an agent is due, or must end.
    Force,
    /// The agents are asked whether they are ready, or the time of a launch is over.
    Launch,
    /// The agents are asked how much they have in flight, or an answer is overdue.
    Busy,
    /// A change of the protection from scale-in is due.
    Protection,
    /// The time of an after step is over.
    Step,
    /// A call about a target group is due, or the time of a target is over.
    Target,
    /// A heartbeat is due.
    Heartbeat,
    /// A completion is due.
    Completion,
    /// A description of the instance or the group's hooks is due.
    Describe,
    /// A receive is due.
    Queue,
    /// A deletion of our message is due.
    Delete,
    /// A retry of writing the journal is due.
    Journal,
}
