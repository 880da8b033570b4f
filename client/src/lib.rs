//! The `atlas` command, as a library so that its parts can be tested on their own.

pub mod bundle;
