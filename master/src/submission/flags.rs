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
    let said = |name, value: Option<String>| value.map(|it| Given::new(name, it));
    let pairs = |name, pairs: BTreeMap<String, String>| {
        pairs.into_iter().map(|it| Given::new(name, it)).collect()
    };
    let volume = |it| volume::parse(&Given::new("volumes", it));
    Ok(Asked {
        project: said("project", project),
        name: said("name", name),
        note: said("note", note),
        tags: pairs("tags", tags),
        log_level: None,
        command: (!command.is_empty()).then(|| Given::new("command", command)),
        entrypoint: said("entrypoint", entrypoint).map(|it| words::split(&it)).transpose()?,
        num_gpus: said("num_gpus", num_gpus),
        cpus: said("cpus", cpus),
        ram: said("ram_gb", ram_gb),
        shm: said("shm_gb", shm_gb),
        time_limit: said("time_limit", time_limit),
        image: said("image", image),
        pull: None,
        python: None,
        working_dir: None,
        env: pairs("env", env),
        volumes: volumes.into_iter().map(volume).collect::<Result<_, _>>()?,
        secrets: Vec::new(),
        params: said("params", params_json),
        exclude: Vec::new(),
        max_gb: None,
        wait_for_capacity,
        fresh_requirements,
    })
}
