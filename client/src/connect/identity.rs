//! Who asks: a job shows its token; for others it is the login name, unverified while there are no accounts.

use std::fs::File;
use std::io::{BufRead, BufReader};

use atlas_proto::USER_HEADER;
use atlas_runtime::telemetry::inject_metadata;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::config::{Config, variable};

/// Puts the user's name, the job's token and the trace into every request.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    user: MetadataValue<Ascii>,
    token: Option<MetadataValue<Ascii>>,
}

impl Identity {
    pub(super) fn of(config: &Config) -> Self {
        let plain = |it: char| if it.is_ascii_graphic() { it } else { '_' };
        let name: String = login_name().chars().take(64).map(plain).collect();
        let token = config.token.as_ref().map(|it| {
            let bearer = format!("Bearer {}", it.expose());
            let mut token: MetadataValue<Ascii> = bearer.parse().expect("printable ASCII");
            token.set_sensitive(true); // so that no log shows it
            token
        });
        Self { user: name.parse().expect("printable ASCII"), token }
    }
}

impl Interceptor for Identity {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(USER_HEADER, self.user.clone());
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        inject_metadata(request.metadata_mut());
        Ok(request)
    }
}

/// As Python's `getpass.getuser()`; a uid without a name is `uid-1000`.
pub fn login_name() -> String {
    let named = ["LOGNAME", "USER"].into_iter().find_map(variable);
    let uid = rustix::process::getuid().as_raw();
    named.or_else(|| passwd_name(uid)).unwrap_or_else(|| format!("uid-{uid}"))
}

fn passwd_name(uid: u32) -> Option<String> {
    let lines = BufReader::new(File::open("/etc/passwd").ok()?).lines().map_while(Result::ok);
    lines.filter_map(|line| Some(named(&line, uid)?.to_owned())).next()
}

/// `ada:x:1000:1000:Ada:/home/ada:/bin/sh`
fn named(line: &str, uid: u32) -> Option<&str> {
    let mut fields = line.split(':');
    let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
    (id.parse() == Ok(uid) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_uid() {
        assert_eq!(named("ada:x:1000:1000:Ada:/home/ada:/bin/sh", 1000), Some("ada"));
        assert_eq!(named("ada:x:1000:1000:Ada:/home/ada:/bin/sh", 100), None);
        assert_eq!(named("broken", 0), None);
    }
}
