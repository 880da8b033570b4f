//! What can be said to `atlas submit`.

use std::path::{Path, PathBuf};

use atlas_runtime::config::nearest;
use clap::{Args as _, Command};

use super::job_dir;
use crate::config::variable;
use crate::error::Error;
use crate::target::{Target, default_name};

/// Send a folder to the cluster, run a command in it, and follow its log to the end
///
/// The folder travels without what .atlasignore (else .gitignore) names. COMMAND that begins with a .py file or an option runs
/// under python. Options stand before COMMAND; what follows its first word belongs to the job.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "atlas submit [OPTIONS] CONFIG JOB_DIR COMMAND...",
    after_help = "Examples:
  atlas submit scheduler . main.py --epochs 10
  atlas submit --num-gpus 2 --ram 16 scheduler . torchrun --nproc-per-node 2 train.py
  atlas submit --params '{\"lr\": 0.01}' --secret WANDB_API_KEY --tag sweep=3 scheduler . main.py
  atlas submit --dry-run scheduler . main.py
  id=$(atlas submit --quiet --detach scheduler . main.py); atlas wait \"$id\"

Exit codes: 0 the job completed (or was submitted, with --detach), the job's own code,
128+N signal N, 124 time limit, 125 failed without a code, 126 Atlas could not do it,
2 wrong usage, before anything was sent. Ctrl-C: 130."
)]
pub struct Args {
    #[command(flatten)]
    pub target: Target,

    /// A name for people
    #[arg(long, value_name = "N", help_heading = "About the job")]
    pub name: Option<String>,
    /// Project that the job is listed under [default: that of job.config.yaml, else the folder's name]
    #[arg(long, value_name = "P", help_heading = "About the job")]
    pub project_name: Option<String>,
    /// A tag, with or without a value; may be given several times
    #[arg(long, value_name = "K[=V]", help_heading = "About the job")]
    pub tag: Vec<String>,
    /// A note, kept with the job
    #[arg(long, value_name = "T", help_heading = "About the job")]
    pub note: Option<String>,
    /// Parameters: a JSON file or JSON itself; the job finds them in foundations_job_parameters.json
    #[arg(long, value_name = "FILE|JSON", help_heading = "About the job")]
    pub params: Option<String>,

    /// GPUs that the job needs
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "What it needs")]
    pub num_gpus: Option<String>,
    /// CPU cores that the job needs, and is held to
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "What it needs")]
    pub cpus: Option<String>,
    /// Memory that the job needs, and is held to
    #[arg(long, value_name = "GB", allow_negative_numbers = true, help_heading = "What it needs")]
    pub ram: Option<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "GB", allow_negative_numbers = true, help_heading = "What it needs")]
    pub shm: Option<String>,
    /// Wait also for what no machine of the cluster has today, instead of being refused
    #[arg(long, help_heading = "What it needs")]
    pub wait_for_capacity: bool,

    /// Longest time that the job may run, such as 90s, 30m, 1h30m or 2d; then it gets SIGTERM, and SIGKILL after its grace
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, help_heading = "How it runs")]
    pub time_limit: Option<String>,
    /// Container image
    #[arg(long, value_name = "I", help_heading = "How it runs")]
    pub image: Option<String>,
    /// Program that COMMAND is given to, in place of the image's own; requirements are not installed then
    #[arg(long, value_name = "E", allow_hyphen_values = true, help_heading = "How it runs")]
    pub entrypoint: Option<String>,
    /// Environment variable; without =V its value here; may be given several times
    #[arg(long, value_name = "K[=V]", help_heading = "How it runs")]
    pub env: Vec<String>,
    /// Secret environment variable: its value here, or what is in FILE; kept sealed, shown to nobody but the job; may be given
    /// several times
    #[arg(long, value_name = "K[=@FILE]", help_heading = "How it runs")]
    pub secret: Vec<String>,
    /// Folder of the machine inside the job; may be given several times
    #[arg(long, value_name = "HOST:PATH[:ro]", help_heading = "How it runs")]
    pub volume: Vec<String>,
    /// Install requirements.txt anew, whatever the machine has kept of it
    #[arg(long, help_heading = "How it runs")]
    pub fresh_requirements: bool,

    /// Send everything: ignore files and built-in rules do not count
    #[arg(long, help_heading = "What is sent and shown")]
    pub no_ignore: bool,
    /// Show what would travel and what not, and send nothing
    #[arg(long, help_heading = "What is sent and shown")]
    pub dry_run: bool,
    /// Do not wait for the job
    #[arg(
        long,
        short,
        conflicts_with = "stream_job_logs",
        help_heading = "What is sent and shown"
    )]
    pub detach: bool,
    /// Follow the job's log to its end [default: true]
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = truth, help_heading = "What is sent and shown"
    )]
    pub stream_job_logs: Option<bool>,
    /// Print the job's id and nothing else
    #[arg(long, short, help_heading = "What is sent and shown")]
    pub quiet: bool,

    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG")]
    first: String,
    /// Folder to send
    #[arg(value_name = "JOB_DIR")]
    second: Option<String>,
    /// What to run in it, with its own options
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// The words that are no options.
pub(super) struct Words {
    pub config: Option<String>,
    pub dir: PathBuf,
    pub command: Vec<String>,
}

impl Args {
    pub(super) fn words(&self) -> Result<Words, Error> {
        let rest = self.second.iter().chain(&self.rest).cloned().collect();
        let (config, mut rest) = self.target.split(self.first.clone(), rest);
        if rest.is_empty() {
            return Err(Error::usage(
                "JOB_DIR is missing: `atlas submit CONFIG JOB_DIR COMMAND...`, as in `atlas submit scheduler . main.py`",
            ));
        }
        let command = rest.split_off(1);
        if let Some(first) = command.first() {
            refuse_misspelt(first)?;
        }
        let dir = rest.pop().expect("one word is left");
        let dir = job_dir(dir.into()).map_err(|error| self.misplaced().unwrap_or(error))?;
        Ok(Words { config, dir, command })
    }

    /// A folder in the place of CONFIG is JOB_DIR, and what seemed to be JOB_DIR is COMMAND. In 2020 a truth value there
    /// was that of the option before it.
    fn misplaced(&self) -> Option<Error> {
        let (first, second) = (&self.first, self.second.as_ref()?);
        if self.stream_job_logs.is_some() && truth(first).is_ok() {
            return Some(Error::Usage(format!(
                "the value of --stream-job-logs stands behind a `=`: --stream-job-logs={first}"
            )));
        }
        Path::new(first).is_dir().then(|| {
            Error::Usage(format!(
                "CONFIG is missing: `atlas submit {} {first} {second}`",
                default_name()
            ))
        })
    }

    /// Whether the job is followed to its end.
    pub fn streams(&self) -> bool {
        let of_2020 = variable("DISABLE_LOG_STREAMING").is_some_and(|it| it != "False");
        !self.detach && self.stream_job_logs.unwrap_or(!of_2020)
    }
}

/// A misspelt option would otherwise become the job's command.
fn refuse_misspelt(word: &str) -> Result<(), Error> {
    let Some(name) = word.strip_prefix("--") else { return Ok(()) };
    let name = name.split('=').next().unwrap_or(name);
    let command = Args::augment_args(Command::new("submit"));
    let options: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    match nearest(name, options.iter().copied()) {
        Some(meant) if !name.is_empty() => Err(Error::Usage(format!(
            "COMMAND begins with '{word}'; did you mean --{meant}? It stands before COMMAND."
        ))),
        _ => Ok(()),
    }
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("it is none of true, false, yes, no, 1, 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        let command = Args::augment_args(Command::new("submit").no_binary_name(true));
        let matches =
            command.try_get_matches_from(line.split_whitespace()).map_err(|it| it.to_string())?;
        Args::from_arg_matches(&matches).map_err(|it| it.to_string())
    }

    fn words(line: &str) -> Result<(Option<String>, String, Vec<String>), String> {
        let words = parse(line)?.words().map_err(|it| it.to_string())?;
        Ok((words.config, words.dir.display().to_string(), words.command))
    }

    fn expected(
        config: &str,
        dir: &str,
        command: &str,
    ) -> Result<(Option<String>, String, Vec<String>), String> {
        Ok((Some(config.into()), dir.into(), command.split_whitespace().map(Into::into).collect()))
    }

    #[test]
    fn what_follows_the_commands_first_word_belongs_to_the_job() {
        assert_eq!(
            words("lab . main.py --num-gpus 3 -q"),
            expected("lab", ".", "main.py --num-gpus 3 -q")
        );
        assert_eq!(words("lab . -m pkg --lr 1"), expected("lab", ".", "-m pkg --lr 1"));
        assert_eq!(words("lab . -- --lr 1"), expected("lab", ".", "--lr 1"));
        assert_eq!(words("lab . sh -c x"), expected("lab", ".", "sh -c x"));
        assert_eq!(words("lab ."), expected("lab", ".", ""));
    }

    #[test]
    fn options_may_stand_between_the_words_before_it() {
        for line in [
            "--num-gpus 3 lab . main.py",
            "lab --num-gpus 3 . main.py",
            "lab . --num-gpus 3 main.py",
        ] {
            assert_eq!(words(line), expected("lab", ".", "main.py"), "{line}");
            assert_eq!(parse(line).unwrap().num_gpus.as_deref(), Some("3"), "{line}");
        }
    }

    #[test]
    fn with_the_option_the_configuration_is_no_word() {
        assert_eq!(words("--config lab . main.py 1"), expected("lab", ".", "main.py 1"));
        assert_eq!(words("--config lab ."), expected("lab", ".", ""));
    }

    #[test]
    fn a_misspelt_option_does_not_become_the_command() {
        let error = words("lab . --num-gpu 3 main.py").unwrap_err();
        assert!(error.contains("did you mean --num-gpus?"), "{error}");
        assert_eq!(words("lab . --lr 3"), expected("lab", ".", "--lr 3"));
        assert!(parse("--num-gpu 3 lab . main.py").unwrap_err().contains("'--num-gpus'"));
    }

    #[test]
    fn numbers_travel_as_they_were_typed() {
        for number in ["-1", "1.5", "many", "99999999999999999999"] {
            let args = parse(&format!("--num-gpus {number} --ram {number} lab . main.py")).unwrap();
            assert_eq!(
                (args.num_gpus.as_deref(), args.ram.as_deref()),
                (Some(number), Some(number))
            );
        }
    }

    #[test]
    fn streaming_is_said_in_many_ways() {
        for (options, streams) in [
            ("", true),
            ("--detach", false),
            ("--stream-job-logs", true),
            ("--stream-job-logs=False", false),
            ("--stream-job-logs=0", false),
            ("--stream-job-logs=NO", false),
            ("--stream-job-logs=True", true),
            ("--stream-job-logs=yes", true),
        ] {
            assert_eq!(
                parse(&format!("{options} lab . main.py")).unwrap().streams(),
                streams,
                "{options}"
            );
        }
        assert!(parse("--stream-job-logs=maybe lab . x").unwrap_err().contains("none of true"));
    }

    #[test]
    fn the_job_directory_has_to_be_one() {
        assert!(words("lab").unwrap_err().contains("JOB_DIR is missing"));
        assert!(words("lab /no/where main.py").unwrap_err().contains("/no/where does not exist"));
        let of_2020 = words("--stream-job-logs True lab . main.py").unwrap_err();
        assert!(of_2020.ends_with("behind a `=`: --stream-job-logs=True"), "{of_2020}");
        assert!(words("lab /dev/null main.py").unwrap_err().contains("is not a directory"));
        let error = words(". main.py").unwrap_err();
        assert!(
            error.ends_with("CONFIG is missing: `atlas submit scheduler . main.py`"),
            "{error}"
        );
    }
}
