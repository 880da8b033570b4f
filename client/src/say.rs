//! Messages for people, on stderr. Results go to stdout: scripts read one and people both.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Colour, paint};

/// Under which name the command was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Atlas,
    /// As the command was called in 2020.
    Foundations,
    /// As the server was started in 2020.
    AtlasServer,
}

/// Says things to the user.
#[derive(Clone, Copy, Debug)]
pub struct Say {
    program: Program,
    quiet: bool,
}

impl Say {
    pub const fn new(program: Program) -> Self {
        Self { program, quiet: false }
    }

    /// From now on only warnings and errors, when `quiet`.
    #[must_use]
    pub const fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    pub fn info(self, message: impl Display) {
        if !self.quiet {
            self.line("INFO", None, &message);
        }
    }

    pub fn warn(self, message: impl Display) {
        self.line("WARNING", Some(Colour::Yellow), &message);
    }

    pub fn error(self, message: impl Display) {
        self.line("ERROR", Some(Colour::Red), &message);
    }

    /// Asks on a terminal; where nobody can be asked, or `yes` was given, it is agreed.
    pub fn agreed(self, yes: bool, question: impl Display) -> io::Result<bool> {
        if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(true);
        }
        eprint!("{} [y/N] ", clean(&question.to_string()));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A bar of bytes; hidden where stderr is no terminal.
    pub fn bar(self, what: &'static str, bytes: u64) -> ProgressBar {
        let shown = !self.quiet && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(
            "{msg:<9} {bar:30} {decimal_bytes:>9}/{decimal_total_bytes:<9} {decimal_bytes_per_sec} {eta}",
        )
        .expect("the template is right");
        let bar =
            ProgressBar::with_draw_target(Some(bytes), target).with_style(style).with_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    fn line(self, level: &str, colour: Option<Colour>, message: &dyn Display) {
        let name = match self.program {
            Program::Foundations => "Foundations",
            Program::Atlas | Program::AtlasServer => "Atlas",
        };
        let stderr = io::stderr();
        let level = match colour {
            Some(colour) if crate::output::colours(&stderr) => paint(level, colour),
            _ => level.to_owned(),
        };
        // Where nobody can read it there is nobody to tell.
        let _ = writeln!(stderr.lock(), "{name} {level}: {}", clean(&message.to_string()));
    }
}

/// Messages carry names that others chose: nothing in them may steer the terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|it| if it.is_control() && it != '\n' { char::REPLACEMENT_CHARACTER } else { it })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\rc\nd"), "a\u{fffd}[2Jb\u{fffd}c\nd");
    }
}
