//! GPUs as NVML knows them: by UUID, the index is for people.

use atlas_core::resources::Gpu;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// Drivers ship this name; the one without the number belongs to the development package.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Why GPUs cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "could not load {LIBRARY}: install NVIDIA's driver (on Debian: nvidia-driver, or libnvidia-ml1 for the library alone), or start without --gpus"
    )]
    Library(#[source] NvmlError),
    #[error(
        "NVML was loaded but did not start: is the driver's kernel module loaded (nvidia-smi tells)?"
    )]
    Start(#[source] NvmlError),
    #[error("NVML could not count the GPUs")]
    Count(#[source] NvmlError),
    #[error("the driver sees no GPU on this machine (nvidia-smi shows what it sees)")]
    None,
    #[error("none of the {0} GPU(s) of this machine can be used (nvidia-smi tells why)")]
    Unusable(u32),
}

/// Of the machine's driver; `None` = it does not tell.
pub fn driver() -> Option<String> {
    let nvml = Nvml::builder().lib_path(LIBRARY.as_ref()).init().ok()?;
    nvml.sys_driver_version().ok()
}

/// The GPUs that can be used. One that fell off the bus is left out with a warning: the others are worth having.
pub fn list() -> Result<Vec<Gpu>, Error> {
    let nvml = Nvml::builder().lib_path(LIBRARY.as_ref()).init().map_err(|error| match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => Error::Library(error),
        other => Error::Start(other),
    })?;
    let count = nvml.device_count().map_err(Error::Count)?;
    let mut gpus = Vec::new();
    for index in 0..count {
        match gpu(&nvml, index) {
            Ok(gpu) => gpus.push(gpu),
            Err(why) => tracing::warn!(gpu = index, "GPU {index} is left out: {why}"),
        }
    }
    match (gpus.is_empty(), count) {
        (false, _) => Ok(gpus),
        (true, 0) => Err(Error::None),
        (true, count) => Err(Error::Unusable(count)),
    }
}

fn gpu(nvml: &Nvml, index: u32) -> Result<Gpu, String> {
    let text = |error: NvmlError| error.to_string();
    let device = nvml.device_by_index(index).map_err(text)?;
    let id = device.uuid().map_err(text)?;
    Ok(Gpu {
        id: id.parse().map_err(|error: atlas_core::id::Invalid| error.to_string())?,
        index,
        model: device.name().map_err(text)?,
        memory: device.memory_info().map_err(text)?.total,
    })
}
