//! House rules that no compiler knows. Each says why it is there; an exception has to be argued for here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use atlas_core::Cause;

/// Who may use whom. The binaries talk over the wire alone, so that each can be replaced on its own.
const MAY_USE: &[(&str, &[&str])] = &[
    ("atlas-core", &[]),
    ("atlas-proto", &["atlas-core"]),
    ("atlas-runtime", &["atlas-core"]),
    ("atlas-master", &["atlas-core", "atlas-proto", "atlas-runtime"]),
    ("atlas-node", &["atlas-core", "atlas-proto", "atlas-runtime", "atlas-supervisor"]),
    ("atlas-supervisor", &["atlas-core"]),
    ("atlas-cli", &["atlas-core", "atlas-proto", "atlas-runtime"]),
    ("atlas-tests", &["atlas-core", "atlas-proto", "atlas-runtime"]),
];

/// One home for each heavy crate: whoever wants what it does asks that package, and it can be exchanged in one place.
const ONE_HOME: &[(&str, &str)] = &[
    ("redis", "atlas-master"),
    ("axum", "atlas-master"),
    ("openidconnect", "atlas-master"),
    ("rusqlite", "atlas-master"),
    ("bollard", "atlas-node"),
    ("nvml-wrapper", "atlas-node"),
    ("prost", "atlas-proto"),
    ("opentelemetry", "atlas-runtime"),
    ("opentelemetry_sdk", "atlas-runtime"),
    ("opentelemetry-otlp", "atlas-runtime"),
];

/// The core does no I/O: what it may be built from is what cannot do any.
const CORE_IS_BUILT_FROM: &[&str] = &["serde", "thiserror"];

/// A file that is longer has two subjects.
const LONGEST_FILE: usize = 400;
/// A story may be a little longer than what it is about.
const LONGEST_OF_TESTS: usize = 450;
/// A `main.rs` reads its arguments and starts something that has a name and tests.
const LONGEST_MAIN: usize = 80;
/// What is large is built or fetched, not tracked: every clone pays for it for ever.
const LARGEST_FILE: u64 = 1_000_000;

#[test]
fn packages_use_only_what_they_may() {
    for Dependency { of, on, .. } in dependencies() {
        if !MAY_USE.iter().any(|row| row.0 == on) {
            continue;
        }
        let row = MAY_USE.iter().find(|row| row.0 == of);
        let allowed =
            row.unwrap_or_else(|| panic!("{of} is new: say in MAY_USE what it may use")).1;
        assert!(allowed.contains(&on.as_str()), "{of} must not depend on {on}");
    }
}

#[test]
fn each_heavy_crate_has_one_home() {
    for Dependency { of, on, .. } in dependencies() {
        if let Some((_, home)) = ONE_HOME.iter().find(|row| row.0 == on) {
            assert_eq!(of, *home, "{on} belongs to {home} alone");
        }
    }
}

#[test]
fn the_core_is_built_from_nothing_that_could_do_io() {
    for Dependency { of, on, kind } in dependencies() {
        if of == "atlas-core" && kind != "dev" {
            assert!(CORE_IS_BUILT_FROM.contains(&on.as_str()), "the core must not depend on {on}");
        }
    }
}

#[test]
fn files_have_one_subject() {
    let mut too_long = Vec::new();
    for path in tracked().into_iter().filter(|it| is_rust(it)) {
        let text = read(&path);
        let is_main = path.file_name().is_some_and(|it| it == "main.rs");
        let (lines, most) = if is_for_tests(&path) {
            (text.lines().count(), LONGEST_OF_TESTS)
        } else {
            let most = if is_main { LONGEST_MAIN } else { LONGEST_FILE };
            (lines_without_tests(&text), most)
        };
        if lines > most {
            too_long
                .push(format!("{} has {lines} lines that count, more than {most}", path.display()));
        }
    }
    assert!(too_long.is_empty(), "{}", too_long.join("\n"));
}

/// What is not done is an issue, where it can be found; what helped somebody to look for a mistake is gone when it is found.
#[test]
fn nothing_unfinished_is_left_in_the_code() {
    let words =
        [["to", "do!("], ["unimple", "mented!("], ["db", "g!("], ["FIX", "ME"], ["XX", "X:"]];
    let words = words.map(|it| it.concat());
    let mut found = Vec::new();
    for path in tracked().into_iter().filter(|it| is_source(it)) {
        for (at, line) in read(&path).lines().enumerate() {
            if let Some(word) = words.iter().find(|it| line.contains(*it)) {
                found.push(format!("{}:{}: {word}", path.display(), at + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_large_is_tracked() {
    for path in tracked() {
        let size = std::fs::metadata(root().join(&path)).unwrap().len();
        assert!(size <= LARGEST_FILE, "{} has {size} bytes", path.display());
    }
}

/// A cause is the first thing that somebody whose job failed looks up.
#[test]
fn every_cause_has_a_page_and_every_page_a_cause() {
    let folder = Path::new("docs/errors");
    for word in Cause::WORDS {
        let page = read(&folder.join(format!("{word}.md")));
        assert!(page.starts_with(&format!("# {word}\n")), "the page of {word} has another title");
        for part in ["## What it means", "## What to do", "## Example"] {
            assert!(page.contains(part), "the page of {word} lacks {part:?}");
        }
    }
    for path in tracked().into_iter().filter(|it| it.starts_with(folder)) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let known = name == "README" || Cause::WORDS.contains(&name.as_str());
        assert!(known, "{} is the page of no cause", path.display());
    }
}

/// Whoever reads the project reads it on a machine of their own.
#[test]
fn no_path_of_a_build_machine_is_written_down() {
    let paths = [["/wo", "rk/"], ["/ro", "ot/.cargo"]].map(|it| it.concat());
    for path in tracked().into_iter().filter(|it| is_source(it) || is_text(it)) {
        let text = read(&path);
        if let Some(it) = paths.iter().find(|it| text.contains(*it)) {
            panic!("{} speaks of {it}", path.display());
        }
    }
}

/// A job imports the SDK that its node brings: a version of its own would say nothing.
#[test]
fn the_python_package_has_the_version_of_the_rest() {
    let ours = format!("__version__ = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(read(Path::new("client/python/src/foundations/_version.py")), ours);
}

struct Dependency {
    of: String,
    on: String,
    /// `normal`, `dev` or `build`.
    kind: String,
}

/// The direct dependencies of our packages, as Cargo understands them.
fn dependencies() -> Vec<Dependency> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo can be run: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let text = |it: &serde_json::Value| it.as_str().unwrap_or("normal").to_owned();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().expect("a list") {
        for dependency in package["dependencies"].as_array().expect("a list") {
            let (of, on) = (text(&package["name"]), text(&dependency["name"]));
            found.push(Dependency { of, on, kind: text(&dependency["kind"]) });
        }
    }
    assert!(found.len() > 20, "these are not the dependencies of this workspace");
    found
}

/// Every file under version control, relative to the root.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let output = output.expect("git can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are text");
    let names = names.split_terminator('\0').map(PathBuf::from);
    // One that was removed but not yet committed is none.
    let files: Vec<_> = names.filter(|it| root().join(it).is_file()).collect();
    assert!(files.len() > 20, "these are not the files of this project");
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace")
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(root().join(path));
    let bytes = bytes.unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|it| it.to_str()).unwrap_or_default()
}

fn is_rust(path: &Path) -> bool {
    extension(path) == "rs"
}

fn is_source(path: &Path) -> bool {
    ["rs", "py", "sh", "ts", "tsx", "js", "proto", "toml", "sql"].contains(&extension(path))
}

fn is_text(path: &Path) -> bool {
    ["md", "yaml", "yml", "json", "service"].contains(&extension(path))
}

fn is_for_tests(path: &Path) -> bool {
    let folders = ["tests", "benches"];
    let in_folder = path.components().any(|it| folders.iter().any(|name| it.as_os_str() == *name));
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    in_folder || ["tests.rs", "contract.rs"].contains(&name)
}

/// Up to `#[cfg(test)] mod tests {`, which stands at the end.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|it| it[0] == "#[cfg(test)]" && it[1] == "mod tests {");
    tests.unwrap_or(lines.len())
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count() {
    assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 4);
}

#[test]
fn every_package_has_its_row() {
    let packages: BTreeMap<String, ()> = dependencies().into_iter().map(|it| (it.of, ())).collect();
    for package in packages.keys() {
        assert!(MAY_USE.iter().any(|row| row.0 == package), "{package} is not in MAY_USE");
    }
}
