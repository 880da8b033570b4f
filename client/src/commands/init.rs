//! `atlas init NAME`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atlas_core::ProjectName;

use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;

/// Make a folder with a small project in it, ready to be submitted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  atlas init my-project && cd my-project && atlas submit scheduler . main.py"
)]
pub struct Args {
    /// Name of the project and of its folder
    name: PathBuf,
}

/// What a new project holds; `{name}` stands for its name.
const FILES: [(&str, &str); 4] = [
    ("README.txt", include_str!("../../templates/README.txt")),
    ("job.config.yaml", include_str!("../../templates/job.config.yaml")),
    ("main.py", include_str!("../../templates/main.py")),
    ("data/.keep", ""),
];

pub fn run(args: &Args, say: Say) -> Result<Exit, Error> {
    let folder = &args.name;
    let name = folder.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let project: ProjectName =
        name.parse().map_err(|it: atlas_core::id::Invalid| Error::Usage(it.to_string()))?;
    make(folder, project.as_str()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Usage(format!(
            "project directory for '{project}' already exists: {}",
            folder.display()
        )),
        _ => Error::io(format!("make the project in {}", folder.display()))(error),
    })?;
    say.info(format_args!("Success: New project '{project}' created!"));
    let shown = folder.display();
    say.info(format_args!("Next: `cd {shown}`, then `atlas submit scheduler . main.py` (`atlas up` starts Atlas here)."));
    Ok(Exit::SUCCESS)
}

fn make(folder: &Path, name: &str) -> io::Result<()> {
    fs::create_dir(folder)?;
    fs::create_dir(folder.join("data"))?;
    FILES
        .iter()
        .try_for_each(|(file, text)| fs::write(folder.join(file), text.replace("{name}", name)))
}
