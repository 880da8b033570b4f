//! What jobs occupy.

use atlas_proto::wire;
use expect_test::expect;

use crate::master::{Master, State};
use crate::run::User;

fn occupied(name: &str) -> wire::Usage {
    wire::Usage {
        name: name.into(),
        jobs: 2,
        log_bytes: 1,
        series_bytes: 20,
        outputs_bytes: 3_000_000_000,
        artifacts_bytes: 400,
        checkpoints_bytes: 5_000,
        synced_bytes: 60_000,
        tensorboard_bytes: 700_000,
        other_bytes: 9,
        bundles_bytes: 0,
        unmeasured: 0,
    }
}

#[tokio::test]
async fn what_jobs_occupy_is_shown_for_people_and_for_programs() {
    let (groups, total) = (vec![occupied("mnist"), occupied("evil\u{1b}[31m")], occupied(""));
    let usage = wire::UsageReply { groups, more: 3, total: Some(total) };
    let master = Master::start(State { usage, ..State::default() }).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["usage", "--limit", "2"]).await.exits(0);
    expect![[r#"
        NAME       JOBS   TOTAL  OUTPUTS  CHECKPOINTS  ARTIFACTS   SYNCED  TENSORBOARD  SERIES  LOG  BUNDLES
        mnist         2  3.0 GB   3.0 GB       5.0 kB      400 B  60.0 kB     700.0 kB    20 B  1 B        -
        evil�[31m     2  3.0 GB   3.0 GB       5.0 kB      400 B  60.0 kB     700.0 kB    20 B  1 B        -
    "#]].assert_eq(&run.out());
    run.says("2 jobs occupy 3.0 GB together.");
    run.says("3 smaller lines are not shown");
    let json = user.atlas(&["usage", "--by", "user", "--output", "json"]).await.exits(0).json();
    assert_eq!(json["groups"][0]["outputs_bytes"], 3_000_000_000_u64);
    assert_eq!(json["total"]["total_bytes"], 3_000_765_430_u64);
    assert_eq!(json["more"], 3);
    master.state().usage.total.as_mut().unwrap().unmeasured = 7;
    let filter = ["usage", "--by", "job", "--filter", "status=failed"];
    user.atlas(&filter).await.exits(0).says("7 jobs are not in these sums");
    user.atlas(&["usage", "--by", "node"]).await.exits(2).says("possible values");
    let asked: Vec<_> = master.state().usage_requests.clone();
    let words: Vec<_> = asked.iter().map(|it| (&*it.by, &*it.filter, it.limit)).collect();
    assert_eq!(words, [("project", "", 2), ("user", "", 50), ("job", "status=failed", 50)]);
}
