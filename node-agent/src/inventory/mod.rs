//! What this machine has: worker slots, processors, memory, GPUs.

mod gpus;

use std::fs;
use std::io;

use atlas_core::resources::Capacity;

pub use gpus::{Error as GpuError, driver};

/// Why the machine cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not learn the size of this machine's memory from /proc/meminfo")]
    Memory(#[source] io::Error),
    #[error("could not learn how many processors this machine has")]
    Processors(#[source] io::Error),
    #[error("could not list this machine's GPUs (asked for by --gpus)")]
    Gpus(#[source] GpuError),
}

/// What is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `--workers N`; `None` = one, or as many as there are GPUs.
    pub workers: Option<u32>,
    /// `--gpus`
    pub gpus: bool,
}

/// Looks at the machine.
pub fn capacity(wanted: Wanted) -> Result<Capacity, Error> {
    let processors = std::thread::available_parallelism().map_err(Error::Processors)?.get();
    let gpus = if wanted.gpus { gpus::list().map_err(Error::Gpus)? } else { Vec::new() };
    let per_gpu = u32::try_from(gpus.len().max(1)).expect("NVML counts in 32 bits");
    let slots = wanted.workers.unwrap_or(per_gpu);
    let cpu_milli = processors as u64 * 1000;
    Ok(Capacity { slots, gpus, cpu_milli, memory: memory().map_err(Error::Memory)? })
}

/// Bytes of memory of the machine.
pub fn memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    total(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no MemTotal"))
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total("MemTotal:       24689136 kB\nMemFree: 1 kB\n"), Some(25_281_675_264));
        for text in ["", "MemTotal: x kB", "MemFree: 1 kB", "MemTotal: 5"] {
            assert_eq!(total(text), None);
        }
    }

    #[test]
    fn slots_are_the_workers_that_were_asked_for() {
        let of = |workers| capacity(Wanted { workers, gpus: false }).unwrap();
        assert_eq!((of(Some(3)).slots, of(None).slots, of(None).gpus.len()), (3, 1, 0));
        let capacity = of(None);
        assert!(capacity.cpu_milli >= 1000 && capacity.memory > 0);
    }
}
