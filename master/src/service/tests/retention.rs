//! What has outlived its project's rule goes, unless somebody keeps it.

use atlas_core::job::{Archive as Kept, End, JobState, Remover};
use atlas_core::record::JobEvent;
use atlas_core::run::Relabel;
use atlas_core::time::Millis;
use atlas_core::{Identity, Outcome, Record, Retention, Timestamp};

use super::*;

const HOUR: u64 = 3_600_000;
const RULE: Retention = Retention { outputs: Millis(HOUR) };

/// A job that ended so long ago and wrote four bytes.
async fn ended(world: &World, number: u8, hours: u64, archive: Kept) -> JobId {
    let id = world.submit_as(number).await;
    let mut status = world.service.find(&id.to_string()).await.unwrap().status;
    let at = Timestamp(now().wall.0 - hours * HOUR - 1);
    let (outcome, started) = (Outcome::Completed, None);
    let end = End { outcome, at, started, log_length: 0, spool_length: 0 };
    world.service.stop(&ada(), &id.to_string()).await.unwrap();
    status.state = JobState::done(end, None, archive);
    let record = Record::JobChanged { id, event: JobEvent::Archived, status };
    world.service.reactor.keep(vec![record]).await.unwrap();
    let outputs = world.service.archive.job(id).join("outputs");
    std::fs::create_dir_all(&outputs).unwrap();
    std::fs::write(outputs.join("x"), "four").unwrap();
    id
}

fn ada() -> Identity {
    Identity::unverified("ada")
}

async fn outlived(world: &World) -> Vec<JobId> {
    let project = "my-project".parse().unwrap();
    world.service.outlived(&project, RULE, 10).await.unwrap()
}

async fn tag(world: &World, id: JobId, value: Option<&str>) {
    let tags = [("keep".to_owned(), value.map(ToOwned::to_owned))].into();
    let change = Relabel { name: None, tags };
    world.service.relabel(&ada(), &id.to_string(), change).await.unwrap();
}

async fn removal(world: &World, id: JobId) -> Option<(Remover, Option<u64>)> {
    let job = world.service.find(&id.to_string()).await.unwrap();
    job.status.state.removal().map(|it| (it.by.clone(), it.bytes))
}

#[tokio::test]
async fn the_oldest_goes_first_and_what_never_began_has_nothing_to_lose() {
    let world = World::new().await;
    let [young, old, oldest] = [(1, 0), (2, 2), (3, 5)];
    let young = ended(&world, young.0, young.1, Kept::Complete).await;
    let old = ended(&world, old.0, old.1, Kept::Incomplete { reason: "lost".into() }).await;
    let oldest = ended(&world, oldest.0, oldest.1, Kept::Complete).await;
    ended(&world, 4, 5, Kept::BundleOnly).await;
    assert_eq!(outlived(&world).await, [oldest, old]);
    assert!(world.service.retire(oldest, RULE).await.unwrap());
    assert_eq!(outlived(&world).await, [old]);
    let by = Remover::Retention("outputs 1h".into());
    assert_eq!(removal(&world, oldest).await, Some((by, Some(4))));
    assert!(!world.service.archive.job(oldest).join("outputs").exists());
    for kept in [young, old] {
        assert_eq!(removal(&world, kept).await, None);
    }
}

#[tokio::test]
async fn who_says_keep_before_it_begins_is_heard() {
    let world = World::new().await;
    let id = ended(&world, 1, 2, Kept::Complete).await;
    assert_eq!(outlived(&world).await, [id]);
    // It was found before.
    tag(&world, id, Some("")).await;
    assert!(!world.service.retire(id, RULE).await.unwrap());
    assert_eq!(removal(&world, id).await, None);
    assert!(outlived(&world).await.is_empty());
    tag(&world, id, None).await;
    assert_eq!(outlived(&world).await, [id]);
    assert!(world.service.retire(id, RULE).await.unwrap());
    tag(&world, id, Some("too late")).await;
    assert!(removal(&world, id).await.is_some());
    // One that was deleted since it was found.
    world.service.delete(&ada(), &id.to_string()).await.unwrap();
    assert!(!world.service.retire(id, RULE).await.unwrap());
}

#[tokio::test]
async fn a_rule_is_the_projects_and_says_what_it_would_remove() {
    let world = World::new().await;
    ended(&world, 1, 2, Kept::Complete).await;
    let refused = world.service.retain(&ada(), "my-project", "outputs 30").await.unwrap_err();
    assert_eq!(refused.to_string(), "retention: \"30\" has no unit: write `outputs 30d`");
    let outliving = async |rule| {
        world.service.outliving("my-project", rule).await.unwrap().map(|it| (it.jobs, it.filter))
    };
    assert_eq!(outliving(None).await, None);
    let filter = |span| {
        format!("outputs=kept and ended<-{span} and not tags.keep exists and project=my-project")
    };
    assert_eq!(outliving(Some("outputs 1h")).await, Some((1, filter("1h"))));
    assert_eq!(outliving(Some("outputs 3h")).await, Some((0, filter("3h"))));
    world.service.retain(&ada(), "my-project", "outputs 1h").await.unwrap();
    assert_eq!(outliving(None).await, Some((1, filter("1h"))));
    assert_eq!(outliving(Some("off")).await, None);
    world.service.retain(&ada(), "my-project", "off").await.unwrap();
    assert_eq!(outliving(None).await, None);
}
