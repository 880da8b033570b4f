//! Jobs as they are found.

use atlas_core::Identity;

use super::*;

fn listing(filter: &str) -> Listing {
    Listing { filter: filter.into(), ..Listing::default() }
}

#[tokio::test]
async fn a_job_is_found_by_whoever_was_told_of_it() {
    let world = World::new().await;
    let job = world.submit().await;
    let page = world.service.list(&listing("user=ada and status=queued")).await.unwrap();
    assert_eq!((page.total, page.jobs[0].job.id, page.next), (1, job, None));
    let all = Listing {
        project: Some("my-project".into()),
        status: Some("Queued".into()),
        user: Some("ada".into()),
        sort: "-submitted".into(),
        ..listing("not metrics.loss exists")
    };
    assert_eq!(world.service.list(&all).await.unwrap().total, 1);
    world.service.stop(&Identity::unverified("ada"), &job.to_string()).await.unwrap();
    assert_eq!(world.service.list(&all).await.unwrap().total, 0);
    assert_eq!(world.service.list(&listing("cause=stopped-by")).await.unwrap().total, 1);
}

#[tokio::test]
async fn a_listing_that_means_nothing_is_refused_by_its_field() {
    let world = World::new().await;
    let refused = async |listing: Listing| match world.service.list(&listing).await {
        Err(error) => error.to_string(),
        Ok(page) => panic!("{} were found", page.total),
    };
    let none = Listing::default();
    assert_eq!(
        refused(listing("user=ada and metric.loss<1")).await,
        "filter: column 14: there is no field \"metric.loss\"; did you mean metrics.loss?"
    );
    assert_eq!(
        refused(Listing { sort: "nam".into(), ..none.clone() }).await,
        "sort: column 1: there is no field \"nam\"; did you mean name?"
    );
    assert_eq!(
        refused(Listing { sort: "name".into(), ..listing("sort user") }).await,
        "sort: the filter ends with an order already"
    );
    assert_eq!(
        refused(Listing { status: Some("done".into()), ..none.clone() }).await,
        "status: \"done\" is none of queued, running, completed, failed"
    );
    let cursor = refused(Listing { cursor: "7".into(), ..none }).await;
    assert_eq!(cursor, "cursor: it is of no page of this listing");
}
