//! `atlas rerun JOB`

use atlas_core::JobId;
use atlas_proto::wire;

use super::submit::{follow_up, overrides, secrets};
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::target::Target;

/// Run a job again, as a new one
///
/// With the same bundle, command, image, needs and parameters, in the same project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  atlas rerun 4554
  atlas rerun --params '{\"lr\": 0.01}' 4554   the other parameters stay
  atlas rerun --resume 4554                   go on from its checkpoints, in ATLAS_RESUME_DIR
  atlas rerun --secret WANDB_API_KEY 4554     nobody keeps secrets: what had some is given them again

Exit codes are those of `atlas submit`.")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Parameters that differ: a JSON file or JSON itself; those that it does not name stay
    #[arg(long, value_name = "FILE|JSON")]
    params: Option<String>,
    /// Longest time that it may run, in place of the job's: 90s, 30m, 1h30m, 2d
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    time_limit: Option<String>,
    /// Give it the checkpoints that the job kept
    #[arg(long)]
    resume: bool,
    /// A secret of the job: its value here, or what is in FILE; may be given several times
    #[arg(long, value_name = "K[=@FILE]")]
    secret: Vec<String>,
    /// Do not wait for the new job
    #[arg(long, short)]
    detach: bool,
    /// Print the new job's id and nothing else
    #[arg(long, short)]
    quiet: bool,
    /// Id of the job, or a unique beginning of 4 digits and more
    job: String,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, params, time_limit, resume, secret, detach, quiet, job } = args;
    let say = say.quiet(quiet);
    let request = wire::RerunRequest {
        id: JobId::from_random(*uuid::Uuid::new_v4().as_bytes()).to_string(),
        job,
        params_json: params.as_deref().map(overrides::params).transpose()?,
        secrets: secrets::of_flags(&secret, &[])?,
        resume,
        time_limit,
    };
    let master = target.connect(say).await?;
    let reply = master.rerun(&request).await.map_err(secrets::name_each)?;
    follow_up(&master, reply, say, quiet, !detach).await
}
