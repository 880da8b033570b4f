//! Whom a request says that it is for. While there are no accounts a page anywhere may let its own name lead to a loopback address, and
//! a browser would then show it what this master answers: so a request has to name this master, by a name that only this master has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use atlas_proto::TUNNEL_PATH;
use axum::extract::Request;
use axum::http::{Method, Version, header};

use crate::service::Error;

/// A header that no page can send: what begins with `sec-` is the browser's own. The SDK says by it that it is none.
const NO_BROWSER: &str = "sec-atlas-client";
/// What shows nothing of anybody's.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The names of this master; a cheap handle.
#[derive(Clone, Debug)]
pub struct Names(Arc<BTreeSet<String>>);

impl Names {
    /// Beside addresses and the names of loopback, which lead nowhere else.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let lower = names.into_iter().map(|it| it.trim_end_matches('.').to_ascii_lowercase());
        Self(Arc::new(lower.collect()))
    }

    /// This machine's own name, too.
    pub fn of_this_machine(names: impl IntoIterator<Item = String>) -> Self {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self::new(names.into_iter().chain([own]))
    }

    /// Refuses what a page of another site may have sent. No browser speaks HTTP/2 without TLS, as `atlas` and nodes do; and the
    /// tunnel of nodes has a token of its own.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        let path = request.uri().path();
        if request.version() > Version::HTTP_11 || OPEN.contains(&path) || path == TUNNEL_PATH {
            return Ok(());
        }
        let headers = request.headers();
        if headers.contains_key(NO_BROWSER) {
            return Ok(());
        }
        let said = headers.get_all(header::HOST).iter().map(|it| it.to_str().unwrap_or("?"));
        let said: Vec<&str> =
            request.uri().authority().map(|it| it.as_str()).into_iter().chain(said).collect();
        if let Some(other) = said.iter().find(|it| !self.is_ours(host(it))) {
            return Err(Error::OtherHost(shown(host(other))));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let origin = headers.get(header::ORIGIN).filter(|_| !reads);
        let Some(origin) = origin.map(|it| it.to_str().unwrap_or("?")) else { return Ok(()) };
        let site = origin.split_once("://").map_or(origin, |it| it.1);
        if self.is_ours(host(site)) { Ok(()) } else { Err(Error::OtherOrigin(shown(origin))) }
    }

    fn is_ours(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        name.parse::<IpAddr>().is_ok()
            || bare.is_some_and(|it| it.parse::<Ipv6Addr>().is_ok())
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.0.contains(&name)
            || self.0.contains("*")
    }
}

/// Without the port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(
        version: Version,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), Error> {
        let mut request = Request::builder().version(version).method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let names = Names::new(["Atlas.lab.".to_owned(), "10.0.0.1".to_owned()]);
        names.check(&request.body(Body::empty()).unwrap())
    }

    fn get(host: &str) -> Result<(), Error> {
        check(Version::HTTP_11, "GET", "/api/v1/jobs", &[("host", host)])
    }

    #[test]
    fn a_request_names_this_master_or_is_refused() {
        for ours in [
            "127.0.0.1:5555",
            "192.168.7.9",
            "[::1]:5555",
            "localhost:1",
            "LOCALHOST",
            "atlas.localhost:5555",
            "atlas.lab",
            "ATLAS.lab.:5558",
        ] {
            assert!(get(ours).is_ok(), "{ours}");
        }
        for other in [
            "evil.example:5555",
            "atlas.lab.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "atlas.lab@evil.example",
            "evil.example:x",
            "[::1].evil.example",
            "",
        ] {
            assert!(matches!(get(other), Err(Error::OtherHost(_))), "{other}");
        }
        let two = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert!(check(Version::HTTP_11, "GET", "/", &two).is_err());
        let whole = "http://evil.example/api/v1/jobs";
        assert!(check(Version::HTTP_11, "GET", whole, &[("host", "127.0.0.1")]).is_err());
        assert!(check(Version::HTTP_10, "GET", "/", &[]).is_ok(), "no browser sends no host");
        assert!(
            check(Version::HTTP_2, "POST", "http://master:5558/atlas.v1.Jobs/Info", &[]).is_ok()
        );
        let sdk = [("host", "master"), ("origin", "null"), (NO_BROWSER, "python")];
        assert!(check(Version::HTTP_11, "POST", "/api/v1/runs", &sdk).is_ok());
        for open in OPEN.into_iter().chain([TUNNEL_PATH]) {
            assert!(check(Version::HTTP_11, "GET", open, &[("host", "master")]).is_ok(), "{open}");
        }
    }

    #[test]
    fn what_changes_something_comes_from_no_other_site() {
        let post = |origin| {
            let headers = [("host", "127.0.0.1:5555"), ("origin", origin)];
            check(Version::HTTP_11, "POST", "/api/v1/jobs", &headers)
        };
        for ours in ["http://127.0.0.1:5555", "https://atlas.lab", "http://localhost:3000"] {
            assert!(post(ours).is_ok(), "{ours}");
        }
        for other in ["https://evil.example", "null", "", "http://atlas.lab.evil.example"] {
            assert!(matches!(post(other), Err(Error::OtherOrigin(_))), "{other}");
        }
        let reads = [("host", "127.0.0.1"), ("origin", "https://evil.example")];
        assert!(check(Version::HTTP_11, "GET", "/api/v1/jobs", &reads).is_ok());
    }

    #[test]
    fn a_star_is_every_name() {
        let request = Request::builder().uri("/").header("host", "any.example");
        let request = request.body(Body::empty()).unwrap();
        assert!(Names::new(["*".to_owned()]).check(&request).is_ok());
    }
}
