//! The measurements of `make bench` and how they are chosen.

/// All of them, in the order in which they are taken.
const NAMES: &[&str] = &[
    "core",
    "latency-process",
    "latency-redis-everysec",
    "latency-redis-always",
    "latency-hosts",
    "latency-docker",
    "submissions",
    "submissions-redis-everysec",
    "submissions-redis-always",
    "throughput",
    "throughput-redis-everysec",
    "throughput-redis-always",
    "throughput-docker",
    "restart-redis",
    "idle",
    "follow",
    "agents",
    "unshared",
];

/// Whether the arguments of this program ask for this measurement: by its name, or by none at all.
pub fn is_wanted(name: &str) -> bool {
    assert!(NAMES.contains(&name), "{name} is missing in the list of measurements");
    let asked: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|it| !NAMES.contains(&it.as_str())) {
        eprintln!("there is no measurement {unknown:?}; known are {}", NAMES.join(", "));
        std::process::exit(2);
    }
    asked.is_empty() || asked.iter().any(|it| it == name)
}
