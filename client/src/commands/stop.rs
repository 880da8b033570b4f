//! `atlas stop [job] CONFIG JOB…`

use super::for_each;
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::target::{Target, connect};
use crate::views::short;

/// Stop queued and running jobs; nothing is deleted
///
/// A queued job ends at once, a running one after SIGTERM and its grace.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "atlas stop [job] [OPTIONS] CONFIG JOB...",
    after_help = "Examples:\n  atlas stop scheduler 4554\n  atlas stop job scheduler 4554 9a3c   (as it was written in 2020)"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG")]
    first: String,
    /// Ids of jobs, or unique beginnings of 4 digits and more
    #[arg(value_name = "JOB")]
    rest: Vec<String>,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, first, rest } = args;
    let (first, rest) = without_job(first, rest);
    let (config, jobs) = target.split_jobs("stop", first, rest)?;
    let master = connect(Some(&config), say).await?;
    let stop = async |job: &str| {
        let job = master.stop(job).await?;
        match job.phase.as_str() {
            "done" => say.info(format_args!("Stopped job {}.", job.id)),
            _ => say.info(format_args!(
                "Stopping job {}; `atlas wait {}` waits for its end.",
                job.id,
                short(&job.id)
            )),
        }
        Ok(())
    };
    Ok(for_each(&jobs, say, stop).await)
}

/// The word `job` may stand before the configuration, which may have that very name.
fn without_job(first: String, mut rest: Vec<String>) -> (String, Vec<String>) {
    if first == "job" && rest.len() >= 2 {
        let config = rest.remove(0);
        return (config, rest);
    }
    (first, rest)
}

#[cfg(test)]
mod tests {
    use super::without_job;

    #[test]
    fn the_word_job_may_be_said_or_not() {
        let words = |text: &str| {
            let mut words = text.split(' ').map(str::to_owned);
            without_job(words.next().unwrap(), words.collect())
        };
        assert_eq!(words("job scheduler 4554"), words("scheduler 4554"));
        assert_eq!(words("job 4554"), ("job".into(), vec!["4554".into()]));
        assert_eq!(words("job job 4554"), ("job".into(), vec!["4554".into()]));
    }
}
