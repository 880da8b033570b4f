//! Supervisors as real processes, driven the way the agent drives them.

mod adoption;
mod container;
mod ends;
mod harness;
mod lease;
mod log;
mod stop;
