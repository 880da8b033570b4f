//! `atlas diff JOB JOB`

mod files;
mod told;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Cell, Column, Format, Output, Table};
use crate::say::Say;
use crate::target::Target;
use crate::views::{JobView, RunView, short};

/// Show what differs between two jobs
///
/// What was asked for and what became of it, parameters, packages, metrics, tags, and the files that were submitted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  atlas diff 4554 9c01
  atlas diff 4554 9c01 --output json | jq .params

Of files A is only in the second job, D only in the first, M in both and not the same.")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Id of a job, or a unique beginning of 4 digits and more
    first: String,
    /// Of another one
    second: String,
    #[command(flatten)]
    output: Output,
}

/// Of each thing that differs what it is in the first and in the second job; nothing = that one has none.
type Differing = BTreeMap<String, [Option<String>; 2]>;

#[derive(Debug, Default, Serialize)]
struct Difference {
    jobs: [String; 2],
    job: Differing,
    params: Differing,
    packages: Differing,
    metrics: Differing,
    tags: Differing,
    /// By path: A, D or M.
    files: BTreeMap<String, char>,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, first, second, output } = args;
    let master = target.connect(say).await?;
    let (one, other) = tokio::try_join!(master.job(&first), master.job(&second))?;
    let (one, other) = (JobView::from(one), JobView::from(other));
    let runs = tokio::try_join!(master.run(&one.id), master.run(&other.id))?;
    let runs = [RunView::from(runs.0), RunView::from(runs.1)];
    let same_files = one.bundle.as_ref().map(|it| &it.id) == other.bundle.as_ref().map(|it| &it.id);
    let files = if same_files {
        BTreeMap::new()
    } else {
        files::compare(&master, [&one.id, &other.id], say).await?
    };
    let difference = Difference {
        job: differing([told::of_job(&one, &runs[0]), told::of_job(&other, &runs[1])]),
        params: differing([told::params(&one, &runs[0]), told::params(&other, &runs[1])]),
        packages: differing(runs.each_ref().map(told::packages)),
        metrics: differing(runs.each_ref().map(told::metrics)),
        tags: differing([told::tags(&one, &runs[0]), told::tags(&other, &runs[1])]),
        files,
        jobs: [one.id, other.id],
    };
    let shown = match output.output {
        Format::Json | Format::Jsonl => output::object(output.output, &difference),
        Format::Table | Format::Wide => output::text(&difference.lines()),
    };
    shown.map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

fn differing([one, other]: [BTreeMap<String, String>; 2]) -> Differing {
    let names = one.keys().chain(other.keys());
    let pair = |name: &String| (name.clone(), [one.get(name).cloned(), other.get(name).cloned()]);
    names.map(pair).filter(|(_, [one, other])| one != other).collect()
}

impl Difference {
    fn lines(&self) -> String {
        let titles = vec![Column::left(""), Column::flexible(""), Column::flexible("")];
        let mut table = Table::new(titles);
        let ids = self.jobs.each_ref().map(|it| Cell::new(short(it)));
        let [one, other] = ids;
        table.push(vec![Cell::new("job"), one, other]);
        let sections = [
            ("", &self.job),
            ("params.", &self.params),
            ("packages.", &self.packages),
            ("metrics.", &self.metrics),
            ("tags.", &self.tags),
        ];
        let mut differs = !self.files.is_empty();
        for (section, differing) in sections {
            for (name, values) in differing {
                differs = true;
                let [one, other] = values.each_ref().map(|it| Cell::value(it.as_deref()));
                table.push(vec![Cell::new(format!("{section}{name}")), one, other]);
            }
        }
        let mut files = Table::new(vec![Column::left(""), Column::left("")]);
        for (path, how) in &self.files {
            files.push(vec![Cell::new(how.to_string()), Cell::new(path)]);
        }
        let rest = if differs { "" } else { "Nothing else differs.\n" };
        [&table.render_rows(), &files.render_rows(), rest].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_left_out_and_what_one_has_alone_is_shown() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, it)| ((*name).into(), (*it).into())).collect()
        };
        let found = differing([map(&[("a", "1"), ("b", "2")]), map(&[("a", "1"), ("c", "")])]);
        let expected = [("b", [Some("2".to_owned()), None]), ("c", [None, Some(String::new())])];
        assert_eq!(found, expected.map(|(name, it)| (name.to_owned(), it)).into());

        let difference = Difference { tags: found, ..Difference::default() };
        let lines = difference.lines();
        assert!(lines.contains("tags.b  2  -\n") && lines.contains("tags.c  -  \"\"\n"), "{lines}");
    }
}
