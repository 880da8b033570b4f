//! The start rule: what exactly is executed. Pure.
//!
//! An entrypoint, the job's or the image's own, is used as it is. Otherwise requirements are installed, and a command that
//! names a Python file or begins with an option runs under Python. No shell splits anything again.

/// What will be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub argv: Vec<String>,
    /// Whether requirements.txt counts.
    pub requirements: bool,
}

/// A job that names nothing to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing to execute: the job names neither a command nor an entrypoint")]
pub struct Nothing;

/// Whether the command would run under Python.
pub fn wants_python(command: &[String]) -> bool {
    command.first().is_some_and(|word| word.ends_with(".py") || word.starts_with('-'))
}

/// Applies the rule. `python` is the interpreter for commands that want one.
pub fn plan(
    entrypoint: Option<&[String]>,
    of_image: &[String],
    command: &[String],
    python: &str,
) -> Result<Plan, Nothing> {
    let given = entrypoint.or_else(|| Some(of_image).filter(|it| !it.is_empty()));
    let (first, requirements) = match given {
        Some(words) => (words.to_vec(), false),
        None if wants_python(command) => (vec![python.to_owned()], true),
        None => (Vec::new(), true),
    };
    let argv: Vec<String> = first.into_iter().chain(command.iter().cloned()).collect();
    if argv.is_empty() { Err(Nothing) } else { Ok(Plan { argv, requirements }) }
}

/// What the log says before anything else.
pub fn banner(plan: &Plan, found: bool) -> String {
    let line = "=".repeat(120);
    let text = match (plan.requirements, found) {
        (false, _) => "The entrypoint is used as it is: no requirements are installed.",
        (true, true) => "INFO: Installing user requirements...",
        (true, false) => "No user requirements found.",
    };
    format!("{line}\n{text}\n{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(entrypoint: Option<&str>, image: &str, command: &str, expected: &str) {
        let entrypoint = entrypoint.map(words);
        let plan = plan(entrypoint.as_deref(), &words(image), &words(command), "python3").unwrap();
        let requirements = if plan.requirements { "with" } else { "without" };
        assert_eq!(format!("{} {requirements}", plan.argv.join(" ")), expected);
    }

    #[test]
    fn a_python_file_or_an_option_runs_under_python() {
        check(None, "", "main.py --lr 1", "python3 main.py --lr 1 with");
        check(None, "", "-m pkg.train", "python3 -m pkg.train with");
        check(None, "", "src/main.py", "python3 src/main.py with");
    }

    #[test]
    fn any_other_command_is_executed_as_given() {
        check(None, "", "torchrun main.py", "torchrun main.py with");
        check(None, "", "bash run.sh", "bash run.sh with");
    }

    #[test]
    fn an_entrypoint_is_used_as_it_is() {
        check(Some("julia"), "", "main.py", "julia main.py without");
        check(Some("julia"), "python", "main.py", "julia main.py without");
        check(None, "python -u", "main.py", "python -u main.py without");
        check(Some(""), "python", "main.py", "main.py without");
    }

    #[test]
    fn words_are_never_split_again() {
        let command = vec!["sh".to_owned(), "-c".into(), "echo 'a b' $X".into()];
        assert_eq!(plan(None, &[], &command, "python").unwrap().argv, command);
    }

    #[test]
    fn nothing_to_execute_is_an_error() {
        assert_eq!(plan(None, &[], &[], "python"), Err(Nothing));
        assert_eq!(plan(Some(&[]), &[], &[], "python"), Err(Nothing));
    }

    #[test]
    fn the_log_says_what_happens_with_requirements() {
        let plan = |requirements| Plan { argv: words("x"), requirements };
        assert!(banner(&plan(true), true).contains("INFO: Installing user requirements..."));
        assert!(banner(&plan(true), false).contains("\nNo user requirements found.\n"));
        assert!(banner(&plan(false), true).contains("used as it is"));
    }
}
