//! What a run may hold. The same limits are kept where a job logs, so that it hears of them there; here they hold whoever writes.

/// Bytes of a key.
pub const KEY: usize = 250;
/// Bytes of a text that is a metric's value; what is longer is cut.
pub const METRIC_TEXT: usize = 1_000;
/// Bytes of a tag's value, or of a run's name.
pub const TAG: usize = 1_000;
/// Bytes of a parameter's value as JSON.
pub const PARAM: usize = 16 << 10;
/// Digits of an integer.
pub const DIGITS: usize = 1_000;
/// How deep lists and maps may lie in one another.
pub const DEPTH: u32 = 32;
/// Bytes of an artifact's path.
pub const PATH: usize = 1_024;

/// Metrics of a run.
pub const METRICS: usize = 10_000;
/// Points of a metric and rank in one attempt.
pub const POINTS: u64 = 10_000_000;
/// Parameters of a run.
pub const PARAMS: usize = 5_000;
/// Tags of a run.
pub const TAGS: usize = 500;
/// Artifacts of a run, each version counted.
pub const ARTIFACTS: usize = 10_000;
/// Folders that a run uploads.
pub const SYNCED: usize = 100;
/// Bytes of a run beside its points: keys, parameters, what is known of each metric, rank and artifact.
pub const WEIGHT: u64 = 8 << 20;
/// Bytes that the facts of a metric and rank, or of an artifact, count as.
pub const SERIES_WEIGHT: usize = 100;
/// Bytes of all that is known of the process and its machine.
pub const FACTS: usize = 2 * LINE;
/// Keys of which is kept why something of them was left out.
pub const LEFT: usize = 50;

/// Bytes of one line of a spool, its end included.
pub const LINE: usize = 64 << 10;
