//! Supervisors as real processes, driven the way the agent drives them.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod adoption;
mod container;
mod ends;
mod harness;
mod lease;
mod limit;
mod log;
mod relay;
mod stop;
