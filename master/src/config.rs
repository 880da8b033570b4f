//! What a master is told, and the values that hold once it was checked.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use atlas_core::cluster::{Lease, Policy};
use atlas_core::time::Millis;
use atlas_runtime::config::{Duration, Effective, Error, Layers, Secret, Size};
use atlas_runtime::telemetry::LogFormat;
use serde::{Deserialize, Serialize};

use crate::store::RedisAccess;

/// What a command of this program is given.
#[derive(Clone, Debug, clap::Args)]
pub struct Given {
    /// File with settings (YAML); the environment and flags win over it
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Every setting; absent = the layer below says.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Folder of the master's own state, on a local disk
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder for bundles, logs and outputs; in a cluster a share that every node mounts [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub shared: Option<PathBuf>,
    /// Keep the cluster's state in this Redis, as in redis://HOST:6379 or rediss://USER@HOST:6380 [default: a file in the data folder]
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Password of the Redis; not a flag, because everybody on this machine could read it
    #[arg(skip)]
    pub redis_password: Option<Secret<String>>,
    /// File with the certificate authority of the Redis, where it is none of this machine's
    #[arg(long, value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// Address of dashboard and REST [default: 127.0.0.1:5555]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address of gRPC and REST [default: 127.0.0.1:5558]
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<String>,
    /// How long a node may go unheard before its jobs are queued again, or `until-reboot` [default: 5m, at least 40s]
    #[arg(long, value_name = "DURATION")]
    pub lease: Option<LeaseOption>,
    /// File with the token that nodes must show; made if it is not there [default: join-token in the data folder]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The largest compressed bundle that is taken [default: 20GB]
    #[arg(long, value_name = "SIZE")]
    pub max_bundle: Option<Size>,
    /// The most that a node without the shared storage may send of one job's outputs, and of its checkpoints [default: 1TB]
    #[arg(long, value_name = "SIZE")]
    pub max_output: Option<Size>,
    /// Listen on addresses that other machines reach, although anyone there may then do anything
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_no_accounts: Option<bool>,
    /// Names of this master beside its addresses and the name of its machine, with commas between them; `*` = any
    #[arg(long, value_name = "NAMES")]
    pub allowed_hosts: Option<String>,
    /// Lead once from a store that lost what nodes of the cluster have seen acknowledged
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub accept_older_store: Option<bool>,
    /// What to log, as in `debug` or `atlas_master=debug`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// text, json or auto (text on a terminal)
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// `5m`, or `until-reboot` where master and node are one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LeaseOption(String, Lease);

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: PathBuf,
    pub shared: PathBuf,
    /// `None` = the state is in the data folder.
    pub redis: Option<RedisAccess>,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub policy: Policy,
    pub token_file: PathBuf,
    pub max_bundle: u64,
    /// Names that requests may ask it by.
    pub hosts: Vec<String>,
    pub accept_older_store: bool,
    pub max_output: u64,
}

/// Below it a node would stop its jobs before anybody counts it as away, and an outage of seconds would end them: the grace of a
/// stop and the margin between two clocks go off a lease, and what is left has to cover [`UNREACHABLE_AFTER`] and the way back
/// (`docs/operating/leases.md`; a test here adds it up).
const SHORTEST_LEASE: Millis = Millis::from_secs(40);

impl Given {
    /// All layers together, and what they come to.
    pub fn settings(&self) -> Result<(Effective<Options>, Config), Error> {
        let effective = Layers::new(&Options::defaults())?
            .file(self.config_file.as_deref())?
            .env(|name| std::env::var_os(name))?
            .flags(&self.options)?
            .build()?;
        let config = Config::build(&effective)?;
        Ok((effective, config))
    }
}

impl Options {
    /// What holds when nobody says anything.
    pub fn defaults() -> Self {
        Self {
            http: Some("127.0.0.1:5555".into()),
            grpc: Some("127.0.0.1:5558".into()),
            lease: Some("5m".parse().expect("it is a duration")),
            max_bundle: Some("20GB".parse().expect("it is a size")),
            max_output: Some("1TB".parse().expect("it is a size")),
            insecure_no_accounts: Some(false),
            log_format: Some(LogFormat::Auto),
            ..Self::default()
        }
    }
}

impl Config {
    /// The one place where a setting is refused; past here the values hold.
    pub fn build(effective: &Effective<Options>) -> Result<Self, Error> {
        let options = effective.options.clone();
        let data = match options.data {
            Some(data) => absolute(&data),
            None => {
                return Err(
                    effective.invalid("data", "it is missing: name a folder on a local disk")
                );
            }
        };
        let open = options.insecure_no_accounts.unwrap_or_default();
        let allowed = options.allowed_hosts.as_deref().unwrap_or_default();
        let hosts = hosts(allowed, [options.http.as_deref(), options.grpc.as_deref()])
            .map_err(|why| effective.invalid("allowed_hosts", why))?;
        let listen = |field, text: Option<String>| {
            let address =
                address(&text.unwrap_or_default()).map_err(|why| effective.invalid(field, why))?;
            if address.ip().is_loopback() || open {
                return Ok(address);
            }
            let why = "other machines reach this address and there are no accounts: anyone there could do anything. \
                       Use 127.0.0.1, or --insecure-no-accounts if that is meant";
            Err(effective.invalid(field, why))
        };
        let LeaseOption(_, lease) = options.lease.expect("it has a default");
        if matches!(lease, Lease::Lasts(span) if span < SHORTEST_LEASE) {
            let why = format!(
                "it is shorter than {} s. A node stops its jobs 15 s before its lease ends, and needs the rest to notice that \
                 its connection is gone and to come back: with less, an outage of a few seconds would end jobs",
                SHORTEST_LEASE.0 / 1000
            );
            return Err(effective.invalid("lease", why));
        }
        Ok(Self {
            http: listen("http", options.http)?,
            grpc: listen("grpc", options.grpc)?,
            policy: Policy { lease, ..Policy::default() },
            redis: redis(effective)?,
            shared: options.shared.as_deref().map_or_else(|| data.clone(), absolute),
            token_file: options.token_file.unwrap_or_else(|| data.join("join-token")),
            max_bundle: options.max_bundle.expect("it has a default").bytes(),
            hosts,
            accept_older_store: options.accept_older_store.unwrap_or_default(),
            max_output: options.max_output.expect("it has a default").bytes(),
            data,
        })
    }
}

fn redis(effective: &Effective<Options>) -> Result<Option<RedisAccess>, Error> {
    let Options { redis, redis_password, redis_ca, .. } = effective.options.clone();
    let Some(url) = redis else {
        let lonely =
            [("redis_password", redis_password.is_some()), ("redis_ca", redis_ca.is_some())];
        return match lonely.into_iter().find(|it| it.1) {
            Some((field, _)) => {
                Err(effective.invalid(field, "there is no --redis that it belongs to"))
            }
            None => Ok(None),
        };
    };
    RedisAccess::check(&url).map_err(|why| effective.invalid("redis", why))?;
    Ok(Some(RedisAccess { url, password: redis_password, ca: redis_ca }))
}

impl FromStr for LeaseOption {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "until-reboot" {
            return Ok(Self(text.into(), Lease::UntilReboot));
        }
        let span: Duration =
            text.parse().map_err(|it: atlas_runtime::config::InvalidUnit| it.to_string())?;
        let millis = u64::try_from(span.as_millis()).map_err(|_| "it is too long".to_owned())?;
        Ok(Self(text.into(), Lease::Lasts(Millis(millis))))
    }
}

impl TryFrom<String> for LeaseOption {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LeaseOption> for String {
    fn from(LeaseOption(text, _): LeaseOption) -> Self {
        text
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|why| format!("{text:?} is no HOST:PORT: {why}"))?;
    found.next().ok_or_else(|| format!("{text:?} has no address"))
}

/// What is allowed, and the names of the listeners.
fn hosts(allowed: &str, listeners: [Option<&str>; 2]) -> Result<Vec<String>, String> {
    let allowed = allowed.split(',').map(str::trim).filter(|it| !it.is_empty());
    let mut names: Vec<String> = allowed.map(str::to_owned).collect();
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_.*".contains(it);
    if let Some(wrong) = names.iter().find(|it| !it.chars().all(plain)) {
        return Err(format!("{wrong:?} is no name of a host: without http:// and without a port"));
    }
    let of_listeners = listeners.into_iter().flatten().filter_map(|it| it.rsplit_once(':'));
    names.extend(of_listeners.map(|(host, _)| host.to_owned()));
    Ok(names)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_core::agent::MARGIN;
    use atlas_core::cluster::UNREACHABLE_AFTER;

    fn build(lease: &str) -> Result<Config, String> {
        let data = Some(PathBuf::from("/nowhere"));
        let flags = Options { data, lease: Some(lease.parse().unwrap()), ..Options::default() };
        let effective =
            Layers::new(&Options::defaults()).unwrap().flags(&flags).unwrap().build().unwrap();
        Config::build(&effective).map_err(|it| it.to_string())
    }

    #[test]
    fn a_lease_that_leaves_no_time_to_come_back_is_refused_with_the_reason() {
        let error = build("39s").unwrap_err();
        assert!(error.contains("--lease") && error.contains("shorter than 40 s"), "{error}");
        assert_eq!(build("40s").unwrap().policy.lease, Lease::Lasts(SHORTEST_LEASE));
        assert_eq!(build("until-reboot").unwrap().policy.lease, Lease::UntilReboot);
    }

    #[test]
    fn with_the_shortest_lease_an_outage_that_makes_a_node_unreachable_ends_no_job() {
        // The last heartbeat that was answered may be as old as this when the outage begins.
        let heartbeat = crate::start::HEARTBEAT;
        // The longest pause of a node between two tries to reach its master.
        let retry = std::time::Duration::from_secs(5);
        let back = heartbeat + std::time::Duration::from_millis(UNREACHABLE_AFTER.0) + retry;
        let usable = SHORTEST_LEASE.0 - Policy::default().grace.0 - MARGIN.0;
        assert!(u128::from(usable) > back.as_millis());
    }
}
