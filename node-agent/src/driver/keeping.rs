//! What an attempt leaves behind: to the archive, or to the attempt after it.

use std::time::Duration;

use atlas_core::agent::{ExitKind, Report};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Wishes;
use super::attempt::{Attempt, next};
use super::kept::Kept;
use crate::archive::{self, Tails};
use crate::storage::Progress;

/// A storage that takes a log, and a master that takes events, take the end of them in this time.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A storage that takes nothing for so many leases does not keep slot and GPUs any longer: an outage that jobs live through is no
/// end of a hand-over either.
const STALLED: u32 = 2;
/// Where leases do not end.
const STALLED_WITHOUT: Duration = Duration::from_mins(10);

impl Attempt {
    /// Archives when that is wished, and waits for the release.
    pub(super) async fn keep_until_released(&mut self, ended: Option<(Kept, Tails)>) {
        let mut ended = ended;
        let mut archived = false;
        self.wishes.mark_changed();
        loop {
            let wishes = next(&mut self.wishes).await;
            if wishes.remove {
                // An attempt that was lost is not archived, but what it said is worth having.
                if let Some((_, tails)) = ended {
                    let _ = tokio::time::timeout(LAST_WORDS, tails.end()).await;
                }
                return;
            }
            if wishes.archive && !std::mem::replace(&mut archived, true) {
                tokio::select! {
                    left_behind = self.archive(ended.take()) => {
                        let report = Report::Archived { left_behind };
                        self.driver.report(self.id, report).await;
                    }
                    () = removal(self.wishes.clone()) => {}
                }
                self.wishes.mark_changed();
            }
        }
    }

    /// Returns what stayed behind.
    async fn archive(&self, ended: Option<(Kept, Tails)>) -> Option<String> {
        let Some((kept, tails)) = ended else {
            return Some("the node no longer has anything of this job".into());
        };
        let (archive, _stop) = self.archive_of(kept);
        archive.run(tails).await
    }

    /// What an attempt that did not come to its end leaves to the next one has to be there before that one begins, which may be as
    /// soon as this is reported. When the attempt was given up meanwhile, the next one may be here, and waits; else the master refuses.
    pub(super) async fn hand_over(&self, report: &Report, kept: &Kept) {
        let goes_on = match report {
            Report::Lost { .. } => true,
            Report::Exited(exit) => exit.kind == ExitKind::LeaseEnded,
            Report::Starting
            | Report::Started { .. }
            | Report::NotStarted { .. }
            | Report::Archived { .. } => false,
        };
        if !goes_on {
            return;
        }
        let (archive, _stop) = self.archive_of(kept.clone());
        let progress = archive.progress.clone();
        let stalled = self.node.leases.length().map_or(STALLED_WITHOUT, |it| it * STALLED);
        let left_behind = tokio::select! {
            left_behind = archive.checkpoints() => left_behind,
            () = stop(self.wishes.clone()) => None,
            () = progress.stalled(stalled) => {
                Some(format!("of its checkpoints nothing more was taken for {stalled:?}"))
            }
        };
        if let Some(why) = left_behind {
            tracing::warn!(job = %self.id, "for the next attempt: {why}");
        }
    }

    fn archive_of(&self, kept: Kept) -> (archive::Archive, DropGuard) {
        let cancel = CancellationToken::new();
        let archive = archive::Archive {
            node: self.node.clone(),
            id: self.id,
            dir: self.dir.clone(),
            kept,
            cancel: cancel.clone(),
            progress: Progress::default(),
        };
        (archive, cancel.drop_guard())
    }
}

/// A job that is to stop leaves nothing to another attempt.
async fn stop(mut wishes: watch::Receiver<Wishes>) {
    if wishes.wait_for(|it| it.stop.is_some()).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn removal(mut wishes: watch::Receiver<Wishes>) {
    if wishes.wait_for(|it| it.remove).await.is_err() {
        std::future::pending::<()>().await;
    }
}
