//! What a process asks of its machine: where its files lie, who else uses them, who holds a port.

mod atomic;
mod filesystem;
mod folder;
mod lock;
mod port;
mod remove;

pub use atomic::write_atomic;
pub use filesystem::is_network_filesystem;
pub use folder::{change_mode, open_folder};
pub use lock::{Error as LockError, InstanceLock};
pub use port::port_holder;
pub use remove::{Remains, remove_all, remove_all_at};
