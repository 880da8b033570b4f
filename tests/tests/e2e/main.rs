//! Real masters, nodes, supervisors, containers. Each test is a sentence about what a user can rely on.

mod failures;
mod logs;
mod lost_replies;
mod rpc;
mod the_way;
