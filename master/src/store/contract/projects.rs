//! What every store does with what people write of projects.

use atlas_core::project::{About, Note};
use atlas_core::{ProjectName, Record, Timestamp};

use super::{Leader, Place, queued};

/// A description, and a note that says as much.
pub fn written(name: &str, description: &str) -> Record {
    let note = Note {
        number: 1,
        author: "ada".into(),
        at: Timestamp(7),
        text: format!("{description}\n\"x\" \u{1F680}"),
    };
    let about = match description {
        "" => About::default(),
        text => {
            About { description: text.into(), notes: vec![note], last_note: 1, retention: None }
        }
    };
    Record::ProjectChanged { name: name.parse().unwrap(), about: about.into() }
}

pub async fn what_is_written_of_a_project_is_kept_apart_from_its_jobs(place: Place) {
    let mut leader = Leader::of(place()).await;
    assert_eq!(leader.store.projects().await.unwrap(), []);
    leader.commit([queued(1), written("b", "one"), written("a", "two"), written("b", "1")]).await;
    assert_eq!(descriptions(&leader).await, [("a", "two"), ("b", "1")].map(texts));
    let b: ProjectName = "b".parse().unwrap();
    let Record::ProjectChanged { about, .. } = written("b", "1") else { unreachable!("it is one") };
    assert_eq!(place().project(&b).await.unwrap(), Some(about), "another reader sees it whole");
    leader.commit([written("b", ""), written("c", ""), written("d", "3")]).await;
    assert_eq!(leader.store.project(&b).await.unwrap(), None);
    assert_eq!(descriptions(&leader).await, [("a", "two"), ("d", "3")].map(texts));
}

fn texts((name, description): (&str, &str)) -> (String, String) {
    (name.into(), description.into())
}

async fn descriptions(leader: &Leader) -> Vec<(String, String)> {
    let projects = leader.store.projects().await.unwrap();
    projects.into_iter().map(|it| (it.name.to_string(), it.about.description.clone())).collect()
}
