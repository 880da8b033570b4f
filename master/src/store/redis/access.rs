//! Where a server is and how it is asked: URL, password, certificate authority.

use std::fs;
use std::path::PathBuf;

use atlas_runtime::config::Secret;
use redis::{Client, ConnectionInfo, IntoConnectionInfo as _, RedisError, TlsCertificates};

use crate::store::Error;

/// What an administrator says of the server.
#[derive(Clone, Debug)]
pub struct Access {
    /// `redis://[user@]host[:port][/database]`, `rediss://` with TLS, `redis+unix:///path`; without a password.
    pub url: String,
    pub password: Option<Secret<String>>,
    /// PEM of the authority that signed the server's certificate; `None` = one of this machine's.
    pub ca: Option<PathBuf>,
}

impl Access {
    /// What a URL must be; the error says what is wrong with it.
    pub fn check(url: &str) -> Result<(), String> {
        let info = url.into_connection_info().map_err(|error| {
            format!("{error}; it looks like redis://host:6379, or rediss://user@host with TLS")
        })?;
        match info.redis_settings().password() {
            Some(_) => Err("it holds a password, which every user of this machine can see: give it as redis_password in \
                            the configuration file, or in ATLAS_REDIS_PASSWORD"
                .into()),
            None => Ok(()),
        }
    }

    /// Connects to nothing yet.
    pub(super) fn client(&self) -> Result<Client, Error> {
        atlas_runtime::tls::choose_provider();
        let wrong = |source: RedisError| Error::Io {
            what: "use the address",
            place: self.url.clone(),
            source: source.into(),
        };
        let info = self.info().map_err(wrong)?;
        match &self.ca {
            None => Client::open(info).map_err(wrong),
            Some(path) => {
                let authority = fs::read(path).map_err(|source| Error::Io {
                    what: "read the certificate authority for Redis",
                    place: path.display().to_string(),
                    source: source.into(),
                })?;
                let trusted = TlsCertificates { client_tls: None, root_cert: Some(authority) };
                Client::build_with_tls(info, trusted).map_err(wrong)
            }
        }
    }

    fn info(&self) -> Result<ConnectionInfo, RedisError> {
        let info = self.url.as_str().into_connection_info()?;
        let Some(password) = &self.password else { return Ok(info) };
        let settings = info.redis_settings().clone().set_password(password.expose());
        Ok(info.set_redis_settings(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_refused_with_what_is_wrong() {
        for good in
            ["redis://localhost", "rediss://atlas@db:6380/2", "redis+unix:///run/redis.sock"]
        {
            assert_eq!(Access::check(good), Ok(()), "{good}");
        }
        for (bad, why) in
            [("localhost:6379", "redis://host"), ("redis://:pw@db", "ATLAS_REDIS_PASSWORD")]
        {
            let error = Access::check(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains("pw@"), "{bad}: {error}");
        }
    }
}
