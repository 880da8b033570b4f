//! What the tests and benchmarks of the whole share.

pub mod bench;
pub mod harness;
