//! What `docs/using/from-2020.md` says of commands is true: every one in its tables is run, and those without a successor are refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use atlas_proto::wire;

use crate::master::{Master, State, ended};
use crate::run::{Run, User};
use crate::up::installed;

const JOB: &str = "45540b52-ffe2-44ab-9838-db467d3499c0";

const RUNNING: &str = "61ca65f7-6f69-439b-84ab-642a03bd4682";

/// Of `submit`, where a table names them alone.
const OPTIONS: [&str; 6] =
    ["--entrypoint", "--project-name", "--num-gpus", "--ram", "--stream-job-logs", "--detach"];

/// A line of a table.
struct Row {
    /// What was typed in 2020, and is today.
    words: Vec<String>,
    /// There is nothing in its place.
    is_gone: bool,
}

/// Every row of the table below this heading.
fn rows(heading: &str) -> Vec<Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/using/from-2020.md");
    let text = fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|it| it.starts_with("| ")).skip(2);
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split(" | ");
        let (before, today) = (cells.next().unwrap(), cells.next().unwrap());
        let words = [spans(before), spans(today)].concat();
        Row { words, is_gone: today.trim() == "-" }
    };
    lines.map(row).collect()
}

/// What stands between backticks.
fn spans(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What somebody types in its place: words in brackets are left out, and typed.
fn typed(text: &str) -> Vec<Vec<String>> {
    let job = if text.contains("stop") { RUNNING } else { JOB };
    let filled = [
        ("=BOOL", "=no"),
        ("CONFIG", "scheduler"),
        ("COMMAND…", "main.py --seed 1"),
        ("JOB…", job),
        ("JOB", job),
        ("DIR", "."),
        ("NAME", "my-project"),
        ("PORT", "5999"),
        ("HOST", "127.0.0.1"),
        ("--ram GB", "--ram 4"),
        ("--entrypoint", "--entrypoint sh"),
        ("--project-name", "--project-name mnist"),
        ("--num-gpus", "--num-gpus 2"),
    ];
    let whole = |text: &str| {
        let put = |text: String, (from, to): &(&str, &str)| {
            // NAME is a placeholder, NUM_WORKERS is none.
            text.replace(&format!("{from} "), &format!("{to} ")).replace(&format!("{from}\n"), to)
        };
        let text = filled.iter().fold(format!("{text}\n"), put);
        text.split_whitespace().map(str::to_owned).collect()
    };
    match text.split_once('[').zip(text.split_once(']')) {
        None => vec![whole(text)],
        Some(((head, inner), (_, tail))) => {
            let inner = inner.split(']').next().unwrap();
            vec![whole(&format!("{head}{tail}")), whole(&format!("{head}{inner}{tail}"))]
        }
    }
}

struct Guide {
    user: User,
    bin: PathBuf,
    runs: u32,
}

impl Guide {
    /// With all names of 2020, and parts of a server that end at once.
    fn new(master: &Master) -> Self {
        let user = User::of(&master.url);
        user.here("main.py", "print('hello')\n");
        let atlas = installed(&user, "exit 3");
        let bin = atlas.parent().unwrap().to_owned();
        for name in ["foundations", "atlas-server"] {
            symlink("atlas", bin.join(name)).unwrap();
        }
        Self { user, bin, runs: 0 }
    }

    /// Runs one command line of a table; `None` = it is none of ours.
    async fn run(&mut self, words: &[String]) -> Option<Run> {
        let variables = words.iter().take_while(|it| it.contains('=') && !it.starts_with('-'));
        let variables: Vec<(&str, &str)> = variables.filter_map(|it| it.split_once('=')).collect();
        let words: Vec<&str> = words[variables.len()..].iter().map(String::as_str).collect();
        let is_option = |it: &str| OPTIONS.contains(&it.split('=').next().unwrap_or(it));
        let (program, args) = match words.split_first()? {
            (&program @ ("atlas" | "foundations" | "atlas-server"), args) => {
                (program, args.to_vec())
            }
            (option, _) if is_option(option) => {
                ("atlas", [&["submit"], &words[..], &["scheduler", ".", "main.py"]].concat())
            }
            _ => return None,
        };
        self.runs += 1;
        let _ = fs::remove_dir_all(self.user.path("here/my-project"));
        let mut command = self.user.program(&self.bin.join(program), &args);
        command.envs(variables).env("DOCKER_HOST", "unix:///there/is/no/engine");
        Some(Run::of(command.output().await.unwrap()))
    }
}

/// How a command ends that was understood, here where no server starts.
fn expected(words: &[String]) -> i32 {
    let says = |word: &str| words.iter().any(|it| it == word);
    match (says("atlas-server"), says("stop"), says("up") || says("start")) {
        (true, true, _) => 1,
        (_, _, true) => 126,
        _ => 0,
    }
}

async fn wrong(heading: &str, guide: &mut Guide) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows(heading) {
        for words in row.words.iter().flat_map(|it| typed(it)) {
            let Some(run) = guide.run(&words).await else { continue };
            // The value stands behind a `=` today, and this is said.
            let is_changed = words[0] == "--stream-job-logs" && words.len() > 1;
            let code = if row.is_gone || is_changed { 2 } else { expected(&words) };
            if run.code != code {
                wrong.push(format!("{words:?}: {} {}{}", run.code, run.out(), run.stderr));
            }
        }
    }
    wrong
}

#[tokio::test]
async fn every_command_of_the_tables_is_what_they_say() {
    let running = wire::Job {
        status: "running".into(),
        phase: "running".into(),
        ended_ms: None,
        ..ended(RUNNING, "running", None)
    };
    let jobs = [(JOB.to_owned(), ended(JOB, "completed", None)), (RUNNING.to_owned(), running)];
    let end = Some(("completed", None));
    let master = Master::start(State { end, jobs: jobs.into(), ..State::default() }).await;
    let mut guide = Guide::new(&master);
    for heading in ["Commands", "Servers"] {
        let wrong = wrong(heading, &mut guide).await;
        assert!(wrong.is_empty(), "{heading}: {}", wrong.join("\n"));
    }
    assert!(guide.runs > 40, "only {} commands were found", guide.runs);
}
