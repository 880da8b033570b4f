//! `atlas info [--env]`

use serde::Serialize;

use crate::config::{Config, DEFAULT, Folders};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Cell, Column, Format, Output, Row};
use crate::say::Say;
use crate::target::Target;

/// Show the master of a configuration, or with --env all configurations
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  atlas info --env\n  atlas info --config lab")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// List the configurations and where they are
    #[arg(long)]
    env: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct EnvView {
    env_name: String,
    /// Absent for the one that needs no file.
    env_path: Option<String>,
    url: Option<String>,
    /// What is wrong with it.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct MasterView<'a> {
    url: &'a str,
    version: &'a str,
    cluster_id: &'a str,
    max_bundle_bytes: u64,
    client_version: &'static str,
}

impl Row for EnvView {
    fn columns(_wide: bool) -> Vec<Column> {
        vec![Column::left("ENV_NAME"), Column::left("ENV_PATH"), Column::left("URL")]
    }

    fn cells(&self, _wide: bool) -> Vec<Cell> {
        let url = self.url.as_deref().or(self.error.as_deref()).unwrap_or_default();
        vec![
            Cell::new(&self.env_name),
            Cell::new(self.env_path.as_deref().unwrap_or_default()),
            Cell::new(url),
        ]
    }
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    if args.env {
        let rows = environments(&Folders::of_user())?;
        output::list(args.output.output, &rows).map_err(Error::Output)?;
        return Ok(Exit::SUCCESS);
    }
    let master = args.target.connect(say).await?;
    let info = master.info();
    let view = MasterView {
        url: master.url(),
        version: &info.version,
        cluster_id: &info.cluster_id,
        max_bundle_bytes: info.max_bundle_bytes,
        client_version: env!("CARGO_PKG_VERSION"),
    };
    let shown = match args.output.output {
        Format::Json | Format::Jsonl => output::object(args.output.output, &view),
        Format::Table | Format::Wide => output::line(&format!(
            "Master   {} (version {})\nCluster  {}\nBundles  up to {}\nClient   version {}",
            view.url,
            view.version,
            view.cluster_id,
            output::bytes(view.max_bundle_bytes),
            view.client_version
        )),
    };
    shown.map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

fn environments(folders: &Folders) -> Result<Vec<EnvView>, Error> {
    let mut rows: Vec<EnvView> = folders
        .known()?
        .into_iter()
        .map(|known| {
            let path = std::path::absolute(&known.path).unwrap_or(known.path);
            environment(folders, known.name, Some(path.display().to_string()))
        })
        .collect();
    if !rows.iter().any(|it| it.env_name == DEFAULT) {
        rows.push(environment(folders, DEFAULT.into(), None));
    }
    Ok(rows)
}

fn environment(folders: &Folders, env_name: String, env_path: Option<String>) -> EnvView {
    let (url, error) = match Config::find(folders, Some(&env_name)) {
        Ok(config) => (Some(config.url), None),
        Err(error) => (None, Some(atlas_runtime::Chain(&error).to_string())),
    };
    EnvView { env_name, env_path, url, error }
}
