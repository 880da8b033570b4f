//! Real masters, nodes, supervisors, containers. Each test is a sentence about what a user can rely on.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands, also in its helpers")]

mod archiving;
mod asks;
mod attempts;
mod bad_input;
mod bounds;
mod browser;
mod caches;
mod claims;
mod diff;
mod export;
mod failures;
mod finding;
mod found;
mod gpus;
mod hostile_node;
mod limits;
mod logs;
mod lost_replies;
mod many_held;
mod migrate;
mod nodes;
mod of_2020;
mod older_store;
mod once;
mod redis;
mod rerun;
mod rest;
mod rpc;
mod secrets;
mod session;
mod site;
mod the_way;
mod trace;
mod tracking;
mod unshared;
