//! One file of configuration. Files of 2020 are read as they are: of their keys only `scheduler_url` counts.

use std::fs::File;
use std::io::{self, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

use super::{Config, Error, Known};

/// What is longer is the wrong file.
const LONGEST: u64 = 1 << 20;
/// Where the scheduler of 2020 listened; here it is the nodes' port.
const OLD_PORT: &str = ":5000";
const PORT: &str = ":5558";
/// What is said about it.
pub(super) const MOVED: &str =
    "names port 5000, where the scheduler of 2020 listened; 5558 is meant and used.";

#[derive(Deserialize)]
struct Keys {
    scheduler_url: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

pub(super) fn read(known: &Known) -> Result<Config, Error> {
    let path = &known.path;
    let invalid = |why: String| Error::Invalid { path: path.clone(), why };
    let text = text(known).map_err(|source| Error::Read { path: path.clone(), source })?;
    // No snippets: the lines around a mistake may hold a secret.
    let options = serde_saphyr::options! { with_snippet: false };
    let keys: Keys = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|it| invalid(it.to_string()))?;
    let Keys { scheduler_url, others } = keys;
    for key in others.keys() {
        tracing::debug!("{}: '{key}' means nothing here and is ignored", path.display());
    }
    let url = scheduler_url.ok_or_else(|| {
        invalid(
            "it lacks scheduler_url, the address of the master, such as http://host:5558".into(),
        )
    })?;
    let mut notices = Vec::new();
    if known.local {
        notices.push(format!("The configuration '{}' comes from {}.", known.name, path.display()));
    }
    let (url, moved) = address(url.trim().trim_end_matches('/'))
        .map_err(|why| invalid(format!("scheduler_url {why}")))?;
    if moved {
        notices.push(format!("{}: scheduler_url {MOVED}", path.display()));
    }
    Ok(Config { url, token: None, notices })
}

/// The URL, and whether its port was one of 2020.
pub(super) fn address(url: &str) -> Result<(String, bool), String> {
    let wrong = |why| format!("{url:?} {why}; it looks like http://host:5558");
    let Some((scheme, host)) = url.split_once("://") else { return Err(wrong("has no scheme")) };
    match scheme {
        "http" => {}
        "https" => return Err(wrong("asks for TLS, which this version does not speak")),
        _ => return Err(wrong("is no http address")),
    }
    if host.is_empty()
        || host.contains(['/', '@', '?', '#', ' '])
        || host.parse::<tonic::codegen::http::uri::Authority>().is_err()
    {
        return Err(wrong("is more or less than a host and a port"));
    }
    if let Some(host) = host.strip_suffix(OLD_PORT) {
        return Ok((format!("{scheme}://{host}{PORT}"), true));
    }
    let bare = host.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
    let port = if bare { PORT } else { "" };
    Ok((format!("{scheme}://{host}{port}"), false))
}

fn text(known: &Known) -> io::Result<String> {
    let mut text = String::new();
    File::open(&known.path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (url, expected) in [
            ("http://10.0.0.1:5558", "http://10.0.0.1:5558"),
            ("http://atlas", "http://atlas:5558"),
            ("http://[::1]", "http://[::1]:5558"),
            ("http://[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(address(url), Ok((expected.into(), false)), "{url}");
        }
        for url in [
            "",
            "10.0.0.1:5558",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://u:p@a",
            "https://a",
            "http://a:b:c",
        ] {
            assert!(address(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_port_of_2020_becomes_todays() {
        assert_eq!(address("http://127.0.0.1:5000"), Ok(("http://127.0.0.1:5558".into(), true)));
    }
}
