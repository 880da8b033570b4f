//! The connection, and what its errors mean.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use atlas_core::Revision;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use super::keys;
use crate::store::Error as StoreError;

/// Together below the 5 s in which whoever submits hears that the store is away.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(3);
/// So many keys are looked at at once.
const KEYS: usize = 1000;

/// One connection that many requests share; it comes back by itself.
pub struct Link {
    manager: ConnectionManager,
    /// Host and port or socket, and the database, never the password.
    place: String,
}

impl Link {
    /// Connects at the first request.
    pub fn new(client: Client) -> Result<Self, StoreError> {
        let place = place(client.get_connection_info());
        // Whoever asked tries again; here it would only hide for how long.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        match ConnectionManager::new_lazy_with_config(client, config) {
            Ok(manager) => Ok(Self { manager, place }),
            Err(source) => {
                Err(StoreError::Io { what: "prepare a connection", place, source: source.into() })
            }
        }
    }

    pub fn connection(&self) -> ConnectionManager {
        self.manager.clone()
    }

    pub fn place(&self) -> String {
        self.place.clone()
    }

    /// Some of our keys, and where to go on; 0 = these were the last. One may come twice.
    pub async fn keys_from(&self, cursor: u64) -> RedisResult<(u64, Vec<String>)> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(keys::ALL).arg("COUNT").arg(KEYS);
        scan.query_async(&mut self.connection()).await
    }

    pub fn too_old(&self, found: Revision, tried: Revision) -> StoreError {
        StoreError::TooOld { place: self.place(), found, known: tried }
    }

    /// The error of having tried `what`; where a setting is to blame, it is named.
    pub fn failed(&self, what: &'static str, source: RedisError) -> StoreError {
        let place = self.place();
        match wrong_setting(&source) {
            Some((field, why)) => StoreError::Setting { field, place, why, source: source.into() },
            None => StoreError::Io { what, place, source: source.into() },
        }
    }
}

fn place(info: &ConnectionInfo) -> String {
    match info.redis_settings().db() {
        0 => info.addr().to_string(),
        database => format!("{}, database {database}", info.addr()),
    }
}

/// Whether there is no server, or one that is not ready. One whose certificate is not to be trusted will not be better later.
pub fn is_away(error: &RedisError) -> bool {
    let starting = ErrorKind::Server(ServerErrorKind::BusyLoading);
    error.kind() == starting || error.is_timeout() || (error.is_io_error() && !is_distrusted(error))
}

fn is_distrusted(error: &RedisError) -> bool {
    // The library shares what it was told.
    let shared = error.source().and_then(|it| it.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = shared.and_then(|it| it.downcast_ref::<io::Error>());
    io.is_some_and(|it| it.kind() == io::ErrorKind::InvalidData)
}

/// The setting that an administrator has to change, and how.
fn wrong_setting(error: &RedisError) -> Option<(&'static str, &'static str)> {
    if is_distrusted(error) {
        return Some((
            "redis_ca",
            "its certificate is not to be trusted; name the file of the authority that signed it, and in --redis the host as \
             the certificate does",
        ));
    }
    let is_denied = error.kind() == ErrorKind::AuthenticationFailed
        || error.code().is_some_and(|it| ["NOAUTH", "WRONGPASS"].contains(&it));
    if is_denied {
        return Some((
            "redis_password",
            "it wants another one, or a user in --redis as in redis://USER@HOST; the password stands in ATLAS_REDIS_PASSWORD or \
             in the configuration file",
        ));
    }
    let is_limited = error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm);
    is_limited.then_some((
        "redis",
        "its user may not do what a master does; it needs ~atlas:* +@all -@dangerous +info",
    ))
}

/// Whether the server said no before it did anything. Whatever else happens, nobody knows what became of the order.
pub fn is_refusal(error: &RedisError) -> bool {
    /// Words of the server for which the library has no kind: memory, disk, another script, replicas, the password.
    const CODES: [&str; 6] = ["OOM", "MISCONF", "BUSY", "NOREPLICAS", "NOAUTH", "WRONGPASS"];
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::NoPerm
                | ServerErrorKind::NoScript
        ),
        _ => error.is_connection_refusal() || error.code().is_some_and(|it| CODES.contains(&it)),
    }
}
