//! Every key that Atlas has in Redis, for programs here and people there (`docs/operating/redis.md`).

use atlas_core::BundleId;

/// Which layout the keys below have. An older program refuses a newer layout; a newer one brings an older one up to date.
pub const LAYOUT: u32 = 2;

/// Names that scripts use too: each is a variable of that name there.
macro_rules! keys {
    ($($(#[doc = $doc:literal])* $name:ident = $key:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: &str = $key;)*

        /// The same names for Lua.
        pub fn for_scripts() -> String {
            [$((stringify!($name), $name)),*].map(|(name, key)| format!("local {name} = '{key}'\n")).concat()
        }
    };
}

/// What every name below begins with, as a pattern.
pub const ALL: &str = "atlas:*";

keys! {
    /// Number of the layout.
    LAYOUT_KEY = "atlas:layout";
    /// The layout from which what is not needed any more is still to be removed.
    STEPPED_FROM = "atlas:stepped_from";
    /// Id of the cluster, made by its first master.
    CLUSTER = "atlas:cluster";
    /// Number of the leading master.
    EPOCH = "atlas:epoch";
    /// Number of the last commit.
    REVISION = "atlas:revision";
    /// What the next job gets.
    NEXT_POSITION = "atlas:next_position";
    /// Milliseconds that leases last from the next restore, after a planned stop.
    GRANTED = "atlas:granted_ms";
    /// Where the cluster went: nobody leads here any more.
    GIVEN_AWAY = "atlas:given_away";
    /// Where the cluster comes from that is on its way into this Redis: nobody leads here yet.
    UNFINISHED = "atlas:unfinished";
    /// Sorted set, position → job: those that wait.
    QUEUE = "atlas:queue";
    /// Sorted set, position → job: those that are not done.
    LIVE = "atlas:live";
    /// Hash, job → name of the node that holds it.
    JOB_HOST = "atlas:job_host";
    /// Sorted set, position → job: all.
    JOBS = "atlas:jobs";
    /// Sorted set without scores: all ids, to be found by prefix.
    IDS = "atlas:ids";
    /// + epoch: list, the records of one commit that is larger than a call, until it is made.
    STAGED = "atlas:staged:";
    /// Hash, name → node.
    NODES = "atlas:nodes";
    /// Hash, name → what people wrote of a project.
    PROJECTS = "atlas:projects";
    /// + id: hash of one job, `spec`, `state` and `run` in JSON beside what it is found by.
    JOB = "atlas:job:";
    /// + id: how many jobs refer to this bundle.
    BUNDLE = "atlas:bundle:";
}

pub fn bundle(id: BundleId) -> String {
    format!("{BUNDLE}{id}")
}
