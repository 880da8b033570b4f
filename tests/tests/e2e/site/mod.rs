//! Several machines: real masters, Redis, agents and engines on hosts of their own.

mod queue;
