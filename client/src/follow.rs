//! A job followed to its end, as its submitter sees it: messages of 2020 on stderr, its log on stdout.

use std::io::{self, IsTerminal, Write};

use atlas_proto::wire;
use futures::StreamExt;

use crate::connect::{Log, Master, log, watch};
use crate::error::Error;
use crate::logs::{LogWriter, Marks};
use crate::say::Say;
use crate::views::cause_text;

/// What the user was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Queued,
    /// Of this attempt.
    Running(u64),
}

struct Follower<'a> {
    say: Say,
    told: Told,
    job: &'a str,
    writer: LogWriter,
}

/// Follows a job until it has ended and all of its log is on stdout, if that is asked for. The job as it ended.
pub async fn to_the_end(
    master: &Master,
    job: &str,
    say: Say,
    with_log: bool,
) -> Result<wire::Job, Error> {
    let mut states = watch(master, job);
    let mut pieces: Option<Log> = with_log.then(|| log(master, whole_log(job)));
    let mut follower =
        Follower { say, told: Told::Nothing, job, writer: LogWriter::new(Marks::default()) };
    let mut attempt = 0;
    let ended = loop {
        tokio::select! {
            biased;
            now = states.next() => {
                let now = now.expect("a watch ends only behind the job's end")?;
                attempt = now.attempt;
                if now.ended_ms.is_some() {
                    break now;
                }
                follower.tell(&now);
            }
            Some(piece) = next(&mut pieces) => match piece {
                Ok(piece) => follower.write(&piece, attempt).await?,
                Err(error) => {
                    say.warn(format_args!("The log cannot be followed: {}", atlas_runtime::Chain(&error)));
                    pieces = None;
                }
            }
        }
    };
    while let Some(piece) = next(&mut pieces).await {
        match piece {
            Ok(piece) => follower.write(&piece, ended.attempt).await?,
            Err(error) => {
                say.warn(format_args!("The log is not complete: {}", atlas_runtime::Chain(&error)));
                break;
            }
        }
    }
    follower.close();
    Ok(ended)
}

/// Tells how a job ended.
pub fn tell_end(job: &wire::Job, say: Say) {
    if job.status == "completed" {
        say.info(format_args!("Job '{}' has completed.", job.id));
    } else {
        let cause = job.cause.as_ref().map_or_else(|| "unknown cause".to_owned(), cause_text);
        let detail =
            if job.detail.is_empty() { String::new() } else { format!("\n  {}", job.detail) };
        say.error(format_args!("Job '{}' has failed: {cause}{detail}", job.id));
    }
}

fn whole_log(job: &str) -> wire::ReadLogRequest {
    wire::ReadLogRequest { job: job.to_owned(), follow: true, ..Default::default() }
}

async fn next(pieces: &mut Option<Log>) -> Option<Result<wire::LogChunk, crate::connect::Error>> {
    match pieces {
        Some(open) => open.next().await,
        None => None,
    }
}

impl Follower<'_> {
    fn tell(&mut self, now: &wire::Job) {
        match now.phase.as_str() {
            "queued" if self.told != Told::Queued => {
                self.close();
                if let Told::Running(attempt) = self.told {
                    self.say.warn(format_args!(
                        "Attempt {attempt} was lost; the job is queued again at its old position."
                    ));
                }
                self.told = Told::Queued;
                self.say.info("Job queued. Ctrl-C to stop streaming - job will not be interrupted or cancelled.");
            }
            "running" => self.running(now.attempt),
            _ => {}
        }
    }

    /// Requirements that are being installed write to the log before the job itself runs.
    fn running(&mut self, attempt: u64) {
        if self.told == Told::Nothing {
            self.say.info(
                "Job queued. Ctrl-C to stop streaming - job will not be interrupted or cancelled.",
            );
        }
        if !matches!(self.told, Told::Running(_)) {
            self.told = Told::Running(attempt);
            self.say.info("Job running, streaming logs.");
        }
    }

    async fn write(&mut self, piece: &wire::LogChunk, attempt: u64) -> Result<(), Error> {
        self.running(attempt);
        self.writer.write(self.job, piece).await.map_err(Error::Output)
    }

    /// On a terminal a message begins on a line of its own, also behind a log that ends in the middle of one.
    fn close(&self) {
        if self.writer.is_open() && io::stdout().is_terminal() && io::stderr().is_terminal() {
            let _ = writeln!(io::stderr());
        }
    }
}
