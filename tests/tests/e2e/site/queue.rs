//! Which job goes where, and when.

use std::fs;
use std::path::PathBuf;

use atlas_tests::harness::{Node, Plan, Site, eventually};

use super::{Follower, counting, end_well, let_end};

/// Writes down that it has begun, and goes on until a file of its own is there.
const WAIT: &str =
    "echo $ATLAS_JOB_ID >> $1/ledger; until [ -e $1/$ATLAS_JOB_ID ]; do sleep 0.05; done\n";

/// Jobs that are begun in an order that is written down, and end when they are told to.
struct Jobs<'a> {
    site: &'a Site,
    dir: PathBuf,
    signs: PathBuf,
}

impl<'a> Jobs<'a> {
    fn of(site: &'a Site) -> Self {
        let signs = site.path("signs");
        fs::create_dir(&signs).unwrap();
        Self { site, dir: site.project("wait", &[("wait.sh", WAIT)]), signs }
    }

    fn submit(&self, gpus: u32) -> String {
        let (gpus, dir) = (gpus.to_string(), self.dir.to_str().unwrap());
        let head = ["submit", "--quiet", "--detach", "--num-gpus", &gpus, "scheduler", dir];
        let run = self
            .site
            .atlas(&[&head[..], &["sh", "wait.sh", self.signs.to_str().unwrap()]].concat());
        run.exits(0).stdout.trim().to_owned()
    }

    /// The ids of those that have begun, in the order in which they did.
    fn begun(&self) -> Vec<String> {
        let text = fs::read_to_string(self.signs.join("ledger")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn wait_for(&self, begun: usize) -> Vec<String> {
        eventually(&format!("{begun} have begun"), || {
            Some(self.begun()).filter(|it| it.len() >= begun)
        })
    }

    fn end(&self, id: &str) {
        fs::write(self.signs.join(id), "").unwrap();
        self.site.atlas(&["wait", id]).exits(0);
    }

    fn node(&self, id: &str) -> String {
        self.site.wait_status(id, "running")["node"].as_str().unwrap().to_owned()
    }
}

#[test]
fn jobs_spread_over_the_nodes_and_each_log_is_followed_from_another_host() {
    let nodes = vec![Node { workers: 2, ..Node::default() }; 3];
    let site = Site::start(Plan { nodes, ..Plan::default() });
    let ids = counting(&site, 6);
    let on: Vec<String> =
        ids.iter().map(|it| site.job(it)["node"].as_str().unwrap().to_owned()).collect();
    let expected = ["node-a", "node-b", "node-c", "node-a", "node-b", "node-c"];
    assert_eq!(on, expected, "each goes where most slots are free");
    let followers: Vec<Follower> = ids[..3].iter().map(|it| Follower::of(&site, it)).collect();
    ids.iter().for_each(|it| let_end(&site, it));
    followers.into_iter().for_each(Follower::shows_all);
    end_well(&site, &ids);
}

#[test]
fn jobs_start_on_three_nodes_in_the_order_of_their_submission() {
    let site = Site::start(Plan::default());
    let jobs = Jobs::of(&site);
    let mut ids = Vec::new();
    for begun in 1..=3 {
        ids.push(jobs.submit(0));
        jobs.wait_for(begun);
    }
    ids.extend((0..9).map(|_| jobs.submit(0)));
    // A worker at a time is free, now on this node, now on that.
    for (ended, at) in [1, 0, 3, 2, 5, 4, 6, 8, 7].into_iter().zip(4..) {
        jobs.end(&ids[ended]);
        assert_eq!(jobs.wait_for(at), ids[..at]);
    }
    ids[9..].iter().for_each(|it| jobs.end(it));
}

#[test]
fn a_job_of_two_gpus_is_overtaken_by_nobody_while_only_nodes_with_one_are_free() {
    let one = Node { gpus: 1, workers: 2, ..Node::default() };
    let two = Node { gpus: 2, ..one.clone() };
    let site = Site::start(Plan { nodes: vec![one.clone(), two, one], ..Plan::default() });
    let jobs = Jobs::of(&site);
    let small: Vec<String> = (0..4).map(|_| jobs.submit(1)).collect();
    jobs.wait_for(4);
    let on: Vec<String> = small.iter().map(|it| jobs.node(it)).collect();
    assert_eq!(
        on,
        ["node-a", "node-c", "node-b", "node-b"],
        "each goes where fewest GPUs are left"
    );

    let large = jobs.submit(2);
    let behind = [jobs.submit(1), jobs.submit(0)];
    for ended in [0, 1, 2] {
        jobs.end(&small[ended]);
        assert_eq!(jobs.begun().len(), 4, "somebody overtook it");
        let queue = site.json(&["queue"]);
        assert_eq!(queue[0]["job"]["id"], large.as_str(), "{queue:#}");
    }
    jobs.end(&small[3]);
    let begun = jobs.wait_for(7);
    assert_eq!(jobs.node(&large), "node-b");
    assert!(behind.iter().all(|it| begun.contains(it)), "{begun:?}");
    for id in behind.iter().chain([&large]) {
        jobs.end(id);
    }
}
