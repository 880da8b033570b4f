//! Real masters, nodes, supervisors, containers. Each test is a sentence about what a user can rely on.

mod failures;
mod logs;
mod the_way;
