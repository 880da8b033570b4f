//! Whatever process of a cluster dies, jobs are neither lost nor doubled.

use std::time::{Duration, Instant};

use atlas_tests::harness::{Node, Plan, Site, eventually};

use super::{begun, by_node, counting, end_well, let_end};

#[test]
fn agent_master_redis_and_engine_die_in_turn_under_thirty_jobs_and_each_runs_once_to_its_end() {
    let process = Node { workers: 10, ..Node::default() };
    let docker = Node { executor: "docker", ..process.clone() };
    let mut site =
        Site::start(Plan { nodes: vec![process.clone(), docker, process], ..Plan::default() });
    let ids = counting(&site, 30);
    let ten_each = [("node-a", 10), ("node-b", 10), ("node-c", 10)];
    assert_eq!(by_node(&site, &ids), ten_each.map(|(node, jobs)| (node.to_owned(), jobs)).into());
    let (early, late) = ids.split_at(9);

    for agent in [0, 1] {
        site.nodes[agent].kill_agent();
        site.nodes[agent].start_agent();
    }
    site.kill_master();
    // Some end while nobody hears of it.
    early.iter().for_each(|it| let_end(&site, it));
    site.start_master();
    site.wait_for_nodes();
    site.kill_redis();
    site.start_redis();
    end_well(&site, early);

    site.nodes[1].kill_engine();
    // A shim needs some seconds to notice that the engine is gone; one that comes back earlier finds it in between.
    let since = Instant::now();
    eventually("the shims have noticed", || {
        (since.elapsed() > Duration::from_secs(7)).then_some(())
    });
    site.nodes[1].start_engine();
    end_well(&site, late);
}

#[test]
fn a_master_and_its_redis_that_die_together_keep_jobs_and_their_order() {
    let mut site = Site::start(Plan::default());
    let running = counting(&site, 3);
    let dir = site.project("count", &[]);
    let waiting: Vec<String> = (0..6).map(|_| site.submit(&dir, &["sh", "count.sh"])).collect();
    site.kill_master();
    site.kill_redis();
    site.start_redis();
    site.start_master();
    let queue = site.json(&["queue"]);
    let order: Vec<&str> =
        queue.as_array().unwrap().iter().map(|it| it["job"]["id"].as_str().unwrap()).collect();
    assert_eq!(order, waiting);
    // One worker is free at a time, so that each start is the next one's.
    let all: Vec<&String> = running.iter().chain(&waiting).collect();
    for (ends, next) in all.iter().zip(&all[3..]) {
        assert_eq!(begun(&site, next), None, "it started before its turn");
        let_end(&site, ends);
        eventually("the next has begun", || begun(&site, next));
    }
    end_well(&site, &all.into_iter().cloned().collect::<Vec<_>>());
}
