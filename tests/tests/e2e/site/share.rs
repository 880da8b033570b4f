//! A share that one node loses for a while.

use std::fs;
use std::path::Path;

use atlas_tests::harness::{Node, Plan, Site, eventually};

use super::is_complete;

/// Counts until the file is there, and sees nothing of the share.
fn count_until(go: &Path) -> String {
    let go = go.display();
    format!("n=0; until [ -e {go} ]; do echo line $n; n=$((n+1)); sleep 0.2; done; echo end $n")
}

fn lines(site: &Site, id: &str) -> usize {
    site.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout.lines().count()
}

/// Two more lines have come.
fn goes_on(site: &Site, id: &str) {
    let before = lines(site, id);
    eventually("it goes on", || (lines(site, id) >= before + 2).then_some(()));
}

#[test]
fn a_node_that_loses_its_share_keeps_its_jobs_and_gets_none_and_each_log_is_complete_when_it_is_back()
 {
    let nodes = vec![Node { workers: 2, ..Node::default() }];
    let site = Site::start(Plan { nodes, ..Plan::default() });
    let dir = site.project("count", &[]);
    let signs = ["during", "after"].map(|it| site.path(it));
    let [during, after] =
        [0, 1].map(|at| site.submit(&dir, &["sh", "-c", &count_until(&signs[at])]));
    for id in [&during, &after] {
        site.wait_status(id, "running");
        goes_on(&site, id);
    }
    site.nodes[0].unmount_share();
    goes_on(&site, &during);
    fs::write(&signs[0], "").unwrap();
    site.atlas(&["wait", &during]).exits(0);
    goes_on(&site, &after);
    site.wait_for_node(0, "cordoned");
    let reason = site.json(&["node", "list"])[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("an unmounted file system is an empty folder"), "{reason}");
    let next = site.submit(&dir, &["true"]);
    let beneath = fs::read_dir(site.path("share")).unwrap().count();
    assert_eq!(beneath, 0, "something was written where the share is not");
    assert_eq!(site.job(&next)["status"], "queued");
    site.nodes[0].mount_share();
    site.atlas(&["wait", &next]).exits(0);
    goes_on(&site, &after);
    fs::write(&signs[1], "").unwrap();
    site.atlas(&["wait", &after]).exits(0);
    for id in [&during, &after] {
        let job =
            eventually("it is archived", || Some(site.job(id)).filter(|it| it["phase"] == "done"));
        assert_eq!((&job["attempt"], &job["left_behind"]), (&1.into(), &serde_json::Value::Null));
        let log = site.shared("jobs").join(&id[..2]).join(id).join("log/1.log");
        is_complete(&fs::read_to_string(log).unwrap());
        is_complete(&site.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout);
    }
}

#[test]
fn a_job_that_comes_before_anybody_has_noticed_that_the_share_is_gone_starts_when_it_is_back() {
    let nodes = vec![Node::default()];
    let site = Site::start(Plan { nodes, ..Plan::default() });
    let dir = site.project("early", &[]);
    site.nodes[0].unmount_share();
    let job = site.submit(&dir, &["true"]);
    eventually("it is on its way", || (site.job(&job)["phase"] == "starting").then_some(()));
    site.wait_for_node(0, "cordoned");
    assert_eq!(fs::read_dir(site.path("share")).unwrap().count(), 0, "something was written there");
    site.nodes[0].mount_share();
    site.atlas(&["wait", &job]).exits(0);
    site.wait_for_node(0, "ready");
}
