//! What the command line or the SDK asks for.

use std::collections::BTreeMap;

use atlas_proto::wire;

use super::asked::Asked;
use super::given::Given;
use super::{Invalid, volume, words};

pub fn read(overrides: wire::JobOverrides) -> Result<Asked, Invalid> {
    let wire::JobOverrides {
        command,
        project,
        name,
        tags,
        note,
        entrypoint,
        num_gpus,
        cpus,
        ram_gb,
        shm_gb,
        image,
        env,
        volumes,
        params_json,
        wait_for_capacity,
        fresh_requirements,
        time_limit,
    } = overrides;
    let flag = |name, value: Option<String>| value.map(|it| Given::new(name, it));
    let pairs = |name, pairs: BTreeMap<String, String>| {
        pairs.into_iter().map(|it| Given::new(name, it)).collect()
    };
    let volume = |it| volume::parse(&Given::new("--volume", it));
    Ok(Asked {
        project: flag("--project-name", project),
        name: flag("--name", name),
        note: flag("--note", note),
        tags: pairs("--tag", tags),
        log_level: None,
        command: (!command.is_empty()).then(|| Given::new("COMMAND", command)),
        entrypoint: flag("--entrypoint", entrypoint).map(|it| words::split(&it)).transpose()?,
        num_gpus: flag("--num-gpus", num_gpus),
        cpus: flag("--cpus", cpus),
        ram: flag("--ram", ram_gb),
        shm: flag("--shm", shm_gb),
        time_limit: flag("--time-limit", time_limit),
        image: flag("--image", image),
        pull: None,
        python: None,
        working_dir: None,
        env: pairs("--env", env),
        volumes: volumes.into_iter().map(volume).collect::<Result<_, _>>()?,
        secrets: Vec::new(),
        params: flag("--params", params_json),
        exclude: Vec::new(),
        max_gb: None,
        wait_for_capacity,
        fresh_requirements,
    })
}
