//! Why the machine wants to be woken.

/// What [`next_wake`](super::Machine::next_wake) is waiting for.
///
/// For people and traces: the machine looks at what is due, not at which timer fired, so an early or repeated one
/// changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// IMDS has been silent for so long that the queue becomes the first source.
    ImdsSilence,
    /// A notice comes into force, or expires.
    Notice,
    /// An agent is to be asked.
    Agent,
    /// How far an agent is has changed, and people are to be told.
    Progress,
    /// An agent that did not answer has used up its grace.
    Grace,
    /// The deadline of an agent.
    Deadline,
    /// A heartbeat, or the next try of one.
    Heartbeat,
    /// The next try of the completion.
    Completion,
    /// The next question about the instance or the group's hooks.
    Describe,
    /// The next receive.
    Queue,
    /// The next try to delete our message.
    Delete,
    /// The next try to write the journal.
    Journal,
}
