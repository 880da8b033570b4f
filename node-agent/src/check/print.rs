//! Findings for people and for programs.

use std::io::{self, Write};
use std::str::FromStr;

use super::{Finding, State};

/// How findings are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Table,
    Json,
}

impl FromStr for Output {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is neither table nor json")),
        }
    }
}

/// Writes all findings.
pub fn print(findings: &[Finding], output: Output, to: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *to, findings)?;
            writeln!(to)
        }
        Output::Table => findings.iter().try_for_each(|Finding { check, state, detail }| {
            let state = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "failed",
            };
            writeln!(to, "{state:<8} {check:<8} {detail}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_a_line_or_an_object_each() {
        let findings = [Finding::new("disk", State::Failed, "it is full")];
        let shown = |output| {
            let mut text = Vec::new();
            print(&findings, output, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(shown(Output::Table), "failed   disk     it is full\n");
        let json: serde_json::Value = serde_json::from_str(&shown(Output::Json)).unwrap();
        assert_eq!(json[0]["state"], "failed");
    }
}
