//! One file per verb.

pub mod clear_queue;
pub mod completion;
pub mod delete;
pub mod diff;
pub mod export;
pub mod get_job;
pub mod get_logs;
pub mod import;
pub mod info;
pub mod init;
pub mod jobs;
pub mod join_token;
pub mod log;
pub mod ls;
pub mod node;
pub mod project;
pub mod queue;
pub mod rerun;
pub mod show;
pub mod stop;
pub mod submit;
pub mod sync;
pub mod tag;
pub mod up;
pub mod usage;
pub mod wait;

use crate::connect;
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;

/// Does something to each job, whatever becomes of the others; ends with the code of the first that failed.
async fn for_each(
    jobs: &[String],
    say: Say,
    mut act: impl AsyncFnMut(&str) -> Result<(), connect::Error>,
) -> Exit {
    let mut exit = Exit::SUCCESS;
    for job in jobs {
        if let Err(error) = act(job).await {
            let error = Error::from(error);
            say.error(atlas_runtime::Chain(&error));
            exit = exit.or(error.exit());
        }
    }
    exit
}
