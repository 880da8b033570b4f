//! What can be told of this machine by itself.

use std::path::Path;

use atlas_runtime::process::is_network_filesystem;

use super::{Finding, State};
use crate::cache::Cache;
use crate::conditions::disk;
use crate::executor::Docker;
use crate::inventory;
use crate::options::Settings;
use crate::paths::Data;
use crate::reach::Reach;

/// The node's own disk: local, with room.
pub fn data(settings: &Settings) -> Finding {
    const NAME: &str = "data";
    let path = &settings.data;
    let failed = |why: String| Finding::new(NAME, State::Failed, why);
    match is_network_filesystem(path) {
        Ok(None) => {}
        Ok(Some(kind)) => {
            let why = "where sockets and renames are not what they should be: take a local disk";
            return failed(format!("{} lies on {kind}, {why}", path.display()));
        }
        Err(error) => return failed(format!("could not look at {}: {error}", path.display())),
    }
    // It is made when the agent starts.
    let there = path.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let looked = disk::look(there, settings.min_free).map(|free| {
        let cached = Cache::new(&Data::new(path.clone()), settings.cache_size).bytes();
        let cached = cached.map_or("?".into(), |it| in_gb(it).to_string());
        let (path, most) = (path.display(), in_gb(settings.cache_size));
        let free = in_gb(free);
        format!("{path} is on a local disk with {free} GB free; {cached} of {most} GB are cached")
    });
    Finding::of(NAME, looked)
}

fn in_gb(bytes: u64) -> u64 {
    bytes / 1_000_000_000
}

/// The port for the master. Whether a firewall lets it through is for the master's machine to say.
pub async fn port(settings: &Settings) -> Finding {
    const NAME: &str = "port";
    match tokio::time::timeout(std::time::Duration::from_secs(5), Reach::open(settings)).await {
        Ok(Ok(reach)) => {
            let detail = format!(
                "{} is free; the master calls {}, so let that through the firewall",
                reach.listens, reach.address
            );
            Finding::new(NAME, State::Ok, detail)
        }
        // The agent of this machine is what it is for.
        Ok(Err(crate::proxy::Error::Taken { address, holder }))
            if holder.contains("atlas-node") =>
        {
            Finding::new(NAME, State::Ok, format!("{holder} listens on {address} already"))
        }
        Ok(Err(error)) => Finding::of::<crate::proxy::Error>(NAME, Err(error)),
        Err(_) => {
            let why = "there is no way to the master: check its name and this machine's network, or give --listen and --address";
            Finding::new(NAME, State::Failed, why)
        }
    }
}

/// What limits jobs' memory and processors.
pub fn cgroups() -> Finding {
    const NAME: &str = "cgroups";
    let root = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_to_string(root.join("cgroup.controllers"));
    let has = |name: &str| match &controllers {
        Ok(all) => all.split_whitespace().any(|it| it == name),
        Err(_) => root.join(name).exists(),
    };
    let missing: Vec<&str> = ["memory", "cpu"].into_iter().filter(|it| !has(it)).collect();
    let version = if controllers.is_ok() { 2 } else { 1 };
    if missing.is_empty() {
        return Finding::new(NAME, State::Ok, format!("version {version}, with memory and cpu"));
    }
    let detail = format!(
        "version {version}, without {}: --ram and --cpus of jobs are not enforced. Switch them on at the kernel's command line \
         (cgroup_enable=memory)",
        missing.join(" and ")
    );
    Finding::new(NAME, State::Warning, detail)
}

/// The engine, and the image of jobs that name none.
pub async fn docker(settings: &Settings) -> Vec<Finding> {
    const NAME: &str = "docker";
    let found = match Docker::survey(settings).await {
        Ok(found) => found,
        Err(error) => return vec![Finding::of(NAME, Err(error))],
    };
    let image = if found.has_image {
        Finding::new("image", State::Ok, format!("{} is here", settings.worker_image))
    } else {
        let detail = format!(
            "{} is not here: jobs that name no image wait until it is pulled, or end where no registry has it. Build it with \
             deploy/worker/build-image.sh, or load it",
            settings.worker_image
        );
        Finding::new("image", State::Warning, detail)
    };
    vec![Finding::new(NAME, State::Ok, format!("Engine {} answers", found.version)), image]
}

/// The GPUs that would be registered.
pub fn gpus(settings: &Settings) -> Finding {
    let looked = inventory::capacity(settings.inventory).map(|it| {
        let models: Vec<&str> = it.gpus.iter().map(|gpu| gpu.model.as_str()).collect();
        format!("{}: {}", models.len(), models.join(", "))
    });
    Finding::of("gpus", looked)
}
