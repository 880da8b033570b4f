//! The node agent of an Atlas cluster, and the supervisor of its worker slots.

pub mod supervisor;
pub mod unpack;
