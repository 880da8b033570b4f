//! Removes what jobs wrote when their project's rule says so: the oldest first, one job after the other, behind everything else.
//!
//! Nothing of it is in the store but the rules and the marks of the jobs: what is due is asked of the index, again and again, and so
//! it does not matter when a master dies.

pub mod rule;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atlas_core::{ProjectName, Record, Retention};
use atlas_runtime::Chain;
use tokio::sync::Notify;

use crate::reactor::Listener;
use crate::service::{Error, Service};
use crate::store::{self, StoredProject};

/// Jobs that are asked for at a time.
const BATCH: usize = 100;
/// Between two looks: a tenth of the shortest rule, but neither less nor more than this.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(60);

/// The rules of all projects; cheap to clone.
#[derive(Clone, Default)]
pub struct Rules(Arc<Known>);

#[derive(Default)]
struct Known {
    /// `None` = it had one.
    rules: Mutex<BTreeMap<ProjectName, Option<Retention>>>,
    changed: Notify,
}

impl Rules {
    /// Hears of everything that becomes durable.
    pub fn listener(&self) -> Listener {
        let known = self.0.clone();
        Box::new(move |record| {
            let Record::ProjectChanged { name, about } = record else { return };
            let mut rules = known.rules.lock().unwrap_or_else(PoisonError::into_inner);
            if rules.get(name).copied().flatten() != about.retention {
                rules.insert(name.clone(), about.retention);
                known.changed.notify_one();
            }
        })
    }

    /// Until the master ends.
    pub async fn keep(self, service: Arc<Service>) {
        let tasks = service.tasks.clone();
        let ever = async {
            while let Err(error) = self.read(&service).await {
                tracing::warn!("could not read the retention of projects: {}", Chain(&error));
                tokio::time::sleep(SELDOM).await;
            }
            service.runs.filled().await;
            loop {
                for (project, rule) in self.all() {
                    if let Err(error) = self.apply(&service, &project, rule).await {
                        tracing::warn!(
                            "the retention of project {project} waits: {}",
                            Chain(&error)
                        );
                    }
                }
                let look = tokio::time::sleep(pause(self.all().values()));
                tokio::select! {
                    () = look => {}
                    () = self.0.changed.notified() => {}
                }
            }
        };
        tokio::select! {
            () = ever => {}
            () = tasks.cancelled() => {}
        }
    }

    /// What was heard since is newer.
    async fn read(&self, service: &Service) -> Result<(), store::Error> {
        let projects = service.store.projects().await?;
        let mut rules = self.0.rules.lock().unwrap_or_else(PoisonError::into_inner);
        for StoredProject { name, about } in projects {
            if about.retention.is_some() {
                rules.entry(name).or_insert(about.retention);
            }
        }
        Ok(())
    }

    fn all(&self) -> BTreeMap<ProjectName, Retention> {
        let rules = self.0.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().filter_map(|(name, rule)| Some((name.clone(), (*rule)?))).collect()
    }

    async fn apply(
        &self,
        service: &Service,
        project: &ProjectName,
        rule: Retention,
    ) -> Result<(), Error> {
        loop {
            let mut removed = 0;
            for job in service.outlived(project, rule, BATCH).await? {
                // Whoever takes the rule back is heard at once.
                if self.all().get(project) != Some(&rule) {
                    return Ok(());
                }
                removed += usize::from(service.retire(job, rule).await?);
            }
            if removed < BATCH {
                return Ok(());
            }
        }
    }
}

fn pause<'a>(rules: impl Iterator<Item = &'a Retention>) -> Duration {
    let shortest = rules.map(|it| it.outputs.0).min().map(Duration::from_millis);
    shortest.map_or(SELDOM, |it| (it / 10).clamp(OFTEN, SELDOM))
}

#[cfg(test)]
mod tests {
    use atlas_core::time::Millis;

    use super::*;

    #[test]
    fn a_short_rule_is_looked_at_often_and_no_rule_costs_nearly_nothing() {
        let pause = |secs: &[u64]| {
            let rules: Vec<_> =
                secs.iter().map(|it| Retention { outputs: Millis::from_secs(*it) }).collect();
            pause(rules.iter()).as_secs()
        };
        assert_eq!(pause(&[]), 60);
        assert_eq!(pause(&[86_400 * 30, 86_400]), 60);
        assert_eq!(pause(&[86_400, 300]), 30);
        assert_eq!(pause(&[1, 86_400]), 1);
    }
}
