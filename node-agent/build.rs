//! Puts the Python SDK into the agent: what it shows its jobs fits it, and there is no folder that could be missing.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const PACKAGE: &str = "../client/python/src";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join(PACKAGE).canonicalize()?;
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let (mut table, mut hasher) = (String::new(), DefaultHasher::new());
    for path in &files {
        let name = path.strip_prefix(&root)?;
        (name, fs::read(path)?).hash(&mut hasher);
        let (name, path) = (name.display().to_string(), path.display().to_string());
        writeln!(table, "    ({name:?}, include_str!({path:?})),")?;
    }
    let text = format!(
        "const VERSION: &str = \"{:016x}\";\nconst FILES: &[(&str, &str)] = &[\n{table}];\n",
        hasher.finish()
    );
    fs::write(Path::new(&std::env::var("OUT_DIR")?).join("sdk.rs"), text)?;
    println!("cargo:rerun-if-changed={PACKAGE}");
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "py" || it == "typed") {
            files.push(path);
        }
    }
    Ok(())
}
