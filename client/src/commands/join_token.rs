//! `atlas join-token`

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::exit::Exit;
use crate::output;
use crate::say::Say;
use crate::up;

/// Print the token that a machine must show to become a node, and how
///
/// It is for the administrator, on the master's machine: nothing is asked over the network.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas join-token\n  atlas join-token --data /srv/atlas/master > token"
)]
pub struct Args {
    /// The master's --data, or that of `atlas up` [default: ~/.atlas/data, else /var/lib/atlas/master]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// As the master writes it.
#[derive(Debug, Deserialize)]
struct Endpoints {
    grpc: String,
}

const TOKEN: &str = "join-token";
/// Where a master's folder is, if it is nowhere else.
const SYSTEM: &str = "/var/lib/atlas/master";

pub fn run(args: &Args, say: Say) -> Result<Exit, Error> {
    let folders = match &args.data {
        Some(data) => vec![data.join("master"), data.clone()],
        None => vec![up::default_data().join("master"), SYSTEM.into()],
    };
    let (folder, token) = token(&folders)?;
    if let Some(other) = folders.iter().find(|it| **it != folder && it.join(TOKEN).exists()) {
        say.info(format_args!(
            "This is the token of the master in {}; there is one in {} too, which --data names.",
            folder.display(),
            other.display()
        ));
    }
    say.info(advice(&folder));
    output::line(&token).map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

/// The first of these folders that is a master's.
fn token(folders: &[PathBuf]) -> Result<(PathBuf, String), Error> {
    for folder in folders {
        let path = folder.join(TOKEN);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok((folder.clone(), text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                let what = format!("read {}; ask as the user that runs the master", path.display());
                return Err(Error::Io { what, source });
            }
        }
    }
    let tried: Vec<String> = folders.iter().map(|it| it.display().to_string()).collect();
    Err(Error::usage(format!(
        "no master keeps its join token in {}: name its --data folder by --data, on the machine that the master runs on",
        tried.join(" or ")
    )))
}

/// What to do with it.
fn advice(folder: &Path) -> String {
    let line = |address: &str| {
        format!(
            "On the new node, put it into a FILE that the agent's user alone may read (whatever stands on a command line, every user of \
             that machine can see). Then, where DIR is the shared storage (without one, leave --shared out):\n  \
             atlas-node --master http://{address} --token-file FILE --shared DIR --workers 1"
        )
    };
    let written = fs::read(folder.join("endpoints.json")).ok();
    let endpoints = written.and_then(|it| serde_json::from_slice::<Endpoints>(&it).ok());
    let address: Option<SocketAddr> =
        endpoints.and_then(|it| it.grpc.trim_start_matches("http://").parse().ok());
    match address {
        None => format!(
            "{}\nThe master has not run here yet; start it with --grpc ADDRESS:5558 --insecure-no-accounts, for other machines to reach it.",
            line("ADDRESS:5558")
        ),
        Some(it) if it.ip().is_loopback() => format!(
            "{}\nThe master listens on {it} alone, which no other machine reaches: start it with --grpc ADDRESS:{} --insecure-no-accounts.",
            line(&format!("ADDRESS:{}", it.port())),
            it.port()
        ),
        Some(it) if it.ip().is_unspecified() => {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            line(&format!("{host}:{}", it.port()))
        }
        Some(it) => line(&it.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_for(grpc: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"http":"http://127.0.0.1:5555","grpc":"{grpc}","pid":1}}"#);
        fs::write(folder.path().join("endpoints.json"), text).unwrap();
        advice(folder.path())
    }

    #[test]
    fn the_line_for_a_node_names_the_master_as_other_machines_reach_it() {
        let text = advice_for("http://10.0.0.1:5558");
        assert!(text.contains("--master http://10.0.0.1:5558 --token-file FILE"), "{text}");
        assert!(!text.contains("ADDRESS"), "{text}");
        assert!(!advice_for("http://0.0.0.0:5558").contains("0.0.0.0"));
        let text = advice_for("http://127.0.0.1:6000");
        assert!(text.contains("--grpc ADDRESS:6000 --insecure-no-accounts"), "{text}");
    }

    #[test]
    fn the_token_is_found_in_the_first_folder_that_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("master"), folder.path().to_owned());
        let folders = [first.clone(), second.clone()];
        let error = token(&folders).unwrap_err().to_string();
        assert!(error.contains("--data"), "{error}");
        fs::write(second.join(TOKEN), "outer\n").unwrap();
        assert_eq!(token(&folders).unwrap(), (second, "outer".into()));
        fs::create_dir(&first).unwrap();
        fs::write(first.join(TOKEN), "inner\n").unwrap();
        assert_eq!(token(&folders).unwrap(), (first, "inner".into()));
    }
}
