//! What the tests and benchmarks of the whole share.

pub mod harness;
