//! What a process asks of its machine: where its files lie, who else uses them, who holds a port.

mod atomic;
mod filesystem;
mod lock;
mod port;

pub use atomic::write_atomic;
pub use filesystem::is_network_filesystem;
pub use lock::{Error as LockError, InstanceLock};
pub use port::port_holder;
