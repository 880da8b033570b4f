//! On real servers: the contract, and what only this store can get wrong.

mod certificates;
mod server;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atlas_core::cluster::Live;
use rustix::process::{Pid, Signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::migrate::tests as migrate;
use crate::reactor::{Held, until_known};
use crate::store::contract::{self, Leader, Place};
use crate::store::{Embedded, Movable};
use certificates::Certificates;
use server::Server;

fn client(server: &Server, database: usize) -> redis::Client {
    let socket = server.socket();
    redis::Client::open(format!("redis+unix://{}?db={database}", socket.display())).unwrap()
}

/// How a master is told of it.
fn access(server: &Server) -> Access {
    Access { url: server.url(), password: None, ca: None }
}

fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_child(&server.child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// One after the other, each database a place.
fn places(server: &Server) -> impl Fn() -> Place {
    let next = AtomicUsize::new(0);
    move || {
        let client = client(server, next.fetch_add(1, Ordering::Relaxed));
        Box::new(move || Arc::new(Redis::new(client.clone()).unwrap()))
    }
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let server = Server::start(&[]);
    contract::check(places(&server)).await;
}

#[tokio::test]
async fn with_valkey_it_keeps_the_contract_too() {
    let server = Server::of(&["valkey-server"], &[]);
    let (_, warnings) = Redis::open(&access(&server)).await.unwrap();
    assert_eq!(warnings, [""; 0]);
    contract::check(places(&server)).await;
}

#[tokio::test]
async fn a_cluster_moves_from_a_file_into_it_and_back() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(&[]));
    let file = || -> Arc<dyn Movable> { Arc::new(Embedded::open(folder.path()).unwrap()) };
    let redis = || -> Arc<dyn Movable> { Arc::new(reader(&server)) };
    order(&server, &["SET", "not ours", "stays"]).await;
    migrate::everything_arrives(&file, &redis).await;
    let hosts: usize = redis_count(&server, "HLEN", keys::JOB_HOST).await;
    assert!(hosts > 2, "the look-up table came too: {hosts}");
    migrate::cuts_are_mended(&redis, &file).await;
    // And into the Redis again, which is emptied before.
    migrate::cuts_are_mended(&file, &redis).await;
    assert_eq!(redis_count(&server, "EXISTS", "not ours").await, 1);
}

async fn redis_count(server: &Server, word: &str, key: &str) -> usize {
    let mut connection = client(server, 0).get_multiplexed_async_connection().await.unwrap();
    redis::cmd(word).arg(key).query_async(&mut connection).await.unwrap()
}

/// A leader on the first database.
async fn leader(server: &Server) -> Leader {
    Leader::of(Arc::new(Redis::new(client(server, 0)).unwrap())).await
}

/// Statements of an administrator.
async fn order(server: &Server, words: &[&str]) {
    let mut connection = client(server, 0).get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    let done: redis::RedisResult<redis::Value> =
        command.arg(&words[1..]).query_async(&mut connection).await;
    done.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

fn reader(server: &Server) -> Redis {
    Redis::new(client(server, 0)).unwrap()
}

/// As the reactor does it: again until its fate is known.
async fn commit_at_last(
    leader: &mut Leader,
    records: Vec<atlas_core::Record>,
    refusing: watch::Sender<Option<String>>,
) {
    let batch = Batch::next(leader.mark, records);
    let next = batch.mark();
    // What these tests lose is less than a minute old: nobody is asked.
    let (ask, _) = mpsc::channel(1);
    until_known(leader.store.clone(), Arc::new(batch), refusing, ask).await.unwrap();
    leader.mark = next;
}

#[tokio::test]
async fn a_server_of_layout_1_is_led_and_what_nobody_needs_any_more_is_removed() {
    let server = Server::start(&[]);
    let mut before = leader(&server).await;
    before.commit((1..=3).map(contract::queued)).await;
    let jobs = before.store.restore().await.unwrap().jobs;
    let job = format!("{}{}", keys::JOB, contract::id(1));
    for words in [
        vec!["SET", keys::LAYOUT_KEY, "1"],
        vec!["ZADD", "atlas:jobs:mnist", "1", "a", "2", "b"],
        vec!["ZADD", "atlas:user:ada", "1", "a"],
        vec!["ZADD", "atlas:status:queued", "1", "a"],
        vec!["HSET", &job, "project", "mnist", "user", "ada", "status", "queued"],
    ] {
        order(&server, &words).await;
    }
    let mut leader = leader(&server).await;
    assert_eq!(leader.store.restore().await.unwrap().jobs, jobs);
    let mut connection = client(&server, 0).get_multiplexed_async_connection().await.unwrap();
    let mut left: Vec<String> =
        redis::cmd("KEYS").arg(keys::ALL).query_async(&mut connection).await.unwrap();
    left.retain(|it| !it.starts_with(keys::JOB) && !it.starts_with(keys::BUNDLE));
    left.sort();
    let expected = ["epoch", "ids", "jobs", "layout", "live", "next_position", "queue", "revision"];
    let expected =
        [&["cluster"][..], &expected].concat().into_iter().map(|it| format!("atlas:{it}"));
    assert_eq!(left, expected.collect::<Vec<_>>());
    let mut fields: Vec<String> =
        redis::cmd("HKEYS").arg(&job).query_async(&mut connection).await.unwrap();
    fields.sort();
    assert_eq!(fields, ["bundle", "position", "spec", "state"]);
    leader.commit([contract::changed(1, contract::running("a"))]).await;
    assert_eq!(redis_count(&server, "ZCARD", keys::LIVE).await, 3);
}

#[tokio::test]
async fn a_step_that_was_cut_off_is_gone_on_with_and_a_later_layout_refused() {
    let server = Server::start(&[]);
    leader(&server).await;
    order(&server, &["SET", keys::STEPPED_FROM, "1"]).await;
    order(&server, &["ZADD", "atlas:jobs:mnist", "1", "a"]).await;
    leader(&server).await;
    assert_eq!(redis_count(&server, "EXISTS", "atlas:jobs:mnist").await, 0);
    assert_eq!(redis_count(&server, "EXISTS", keys::STEPPED_FROM).await, 0);
    for later in ["3", "no number"] {
        order(&server, &["SET", keys::LAYOUT_KEY, later]).await;
        let refused = reader(&server).lead_above(Epoch(0)).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::TooNew { known: 2, .. }), "{refused}");
    }
}

async fn live(leader: &Leader) -> Vec<JobId> {
    leader.store.restore().await.unwrap().jobs.iter().map(|it| it.0).collect()
}

#[tokio::test]
async fn a_full_server_refuses_and_loses_nothing() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let mut leader = leader(&server).await;
    leader.commit([contract::queued(1)]).await;
    order(&server, &["CONFIG", "SET", "maxmemory", "1mb"]).await;
    for _ in 0..2 {
        let refused = leader.try_commit(vec![contract::queued(2)]).await;
        assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    }
    assert_eq!(live(&leader).await, [contract::id(1)]);
    order(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    leader.commit([contract::queued(2)]).await;
    assert_eq!(live(&leader).await, [contract::id(1), contract::id(2)]);
}

#[tokio::test]
async fn a_replica_refuses_to_be_written_to() {
    let server = Server::start(&[]);
    let mut leader = leader(&server).await;
    order(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let refused = leader.try_commit(vec![contract::queued(1)]).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    order(&server, &["REPLICAOF", "NO", "ONE"]).await;
    leader.commit([contract::queued(1)]).await;
}

#[tokio::test]
async fn a_server_that_was_killed_has_everything_when_it_is_back() {
    let mut server = Server::start(&[]);
    let mut leader = leader(&server).await;
    leader.commit([contract::queued(1)]).await;
    server.kill();
    let began = Instant::now();
    let gone = leader.try_commit(vec![contract::queued(2)]).await;
    assert!(matches!(gone, Err(CommitError::Refused(_) | CommitError::Unknown(_))), "{gone:?}");
    assert!(leader.store.job(contract::id(1)).await.is_err());
    assert!(began.elapsed().as_secs() < 5, "whoever submits hears of it within 5 s");
    server.start_again();
    leader.commit([contract::queued(2)]).await;
    assert_eq!(live(&leader).await, [contract::id(1), contract::id(2)]);
}

#[tokio::test]
async fn what_a_server_forgot_is_written_back_by_the_leader_that_remembers() {
    let mut server = Server::start(&["--appendonly", "no"]);
    let mut leader = leader(&server).await;
    leader.commit([contract::queued(1), contract::queued(2)]).await;
    leader.commit([contract::changed(1, contract::running("a"))]).await;
    let before = leader.store.restore().await.unwrap().jobs;
    server.kill();
    server.start_again();
    assert_eq!(reader(&server).mark().await.unwrap(), Mark::default());
    commit_at_last(&mut leader, vec![], watch::channel(None).0).await;
    assert_eq!(leader.store.restore().await.unwrap().jobs, before);
    assert_eq!(leader.store.mark().await.unwrap(), leader.mark);
}

#[tokio::test]
async fn what_no_commit_remembers_the_leader_writes_back_whole() {
    let mut server = Server::start(&["--appendonly", "no"]);
    let mut before = leader(&server).await;
    before.commit((1..=3).map(contract::queued)).await;
    let mut leader = leader(&server).await;
    leader.commit([contract::changed(2, contract::running("a"))]).await;
    let live = leader.store.restore().await.unwrap();
    server.kill();
    server.start_again();
    // The connection of before is dead, which the first one finds out.
    let _ = leader.try_commit(vec![contract::queued(4)]).await;
    let older = leader.try_commit(vec![contract::queued(4)]).await;
    let Err(CommitError::Older { found, .. }) = older else { panic!("{older:?}") };
    assert_eq!(found, Mark::default());

    let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Held>>(1);
    let batch = Batch::next(leader.mark, vec![contract::queued(4)]);
    let decided = [batch.records.clone(), vec![contract::queued(5)]].concat();
    let of = |record: &atlas_core::Record| match record {
        atlas_core::Record::JobQueued { id, spec, status } => (*id, spec.clone(), status.clone()),
        other => panic!("{other:?}"),
    };
    let mut jobs = live.jobs.clone();
    jobs.extend(decided.iter().map(of));
    let held = Live { jobs: jobs.clone(), ..Live::default() };
    let answer = async {
        asked.recv().await.unwrap().send(Held { live: held, decided }).unwrap();
    };
    let (kept, ()) = futures::future::join(
        until_known(leader.store.clone(), Arc::new(batch.clone()), watch::channel(None).0, ask),
        answer,
    )
    .await;
    kept.unwrap();
    leader.mark = batch.mark();
    let restored = leader.store.restore().await.unwrap();
    assert_eq!((restored.jobs, restored.next_position.0), (jobs, 6));
    leader.commit([contract::queued(6)]).await;
    assert_eq!(self::leader(&server).await.mark.epoch, leader.mark.epoch.next());
}

#[tokio::test]
async fn a_commit_that_is_larger_than_a_call_is_one_commit() {
    const MANY: u64 = 21_000;
    let server = Server::start(&["--appendonly", "no"]);
    let mut leader = leader(&server).await;
    let many = (1..=MANY).map(contract::queued).collect();
    commit_at_last(&mut leader, many, watch::channel(None).0).await;
    assert_eq!(redis_count(&server, "ZCARD", keys::QUEUE).await, 21_000);
    let again = (MANY + 1..=2 * MANY).chain([7]).map(contract::queued).collect();
    let refused = leader.try_commit(again).await;
    assert!(refused.is_err(), "job 7 is there");
    assert_eq!(redis_count(&server, "ZCARD", keys::QUEUE).await, 21_000);
    assert!(redis_count(&server, "TTL", "atlas:staged:1").await > 0, "it goes by itself");
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_to_be_kept() {
    let server = Server::start(&[]);
    let mut leader = leader(&server).await;
    leader.commit([contract::queued(1)]).await;
    signal(&server, Signal::STOP);
    let (refusing, mut refused) = watch::channel(None);
    let until_refused = async {
        let why = refused.wait_for(Option::is_some).await.unwrap().clone();
        // What was sent is in the socket: the server reads it now, though nobody waits for the answer.
        signal(&server, Signal::CONT);
        why
    };
    let commit = commit_at_last(&mut leader, vec![contract::queued(2)], refusing);
    let ((), why) = futures::future::join(commit, until_refused).await;
    assert!(why.as_ref().is_some_and(|it| it.contains("did not say")), "{why:?}");
    assert_eq!(live(&leader).await, [contract::id(1), contract::id(2)]);
    leader.commit([contract::queued(3)]).await;
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_and_one_that_forgets_is_warned_of() {
    let server = Server::start(&[]);
    let (_, warnings) = Redis::open(&access(&server)).await.unwrap();
    assert_eq!(warnings, [""; 0]);
    order(&server, &["CONFIG", "SET", "appendfsync", "everysec"]).await;
    let (_, warnings) = Redis::open(&access(&server)).await.unwrap();
    assert!(warnings[0].contains("appendfsync everysec"), "{warnings:?}");
    order(&server, &["CONFIG", "SET", "appendonly", "no"]).await;
    let (_, warnings) = Redis::open(&access(&server)).await.unwrap();
    assert!(warnings[0].contains("no append-only file"), "{warnings:?}");
    order(&server, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let refused = Redis::open(&access(&server)).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("maxmemory-policy allkeys-lru"), "{refused}");
}

#[tokio::test]
async fn a_wrong_password_and_a_right_one() {
    let server = Server::start(&["--requirepass", "open sesame"]);
    let with = |password: Option<&str>| {
        let password = password.map(|it| atlas_runtime::config::Secret::new(it.to_owned()));
        Access { password, ..access(&server) }
    };
    for wrong in [None, Some("open barley")] {
        let refused = Redis::open(&with(wrong)).await.map(|_| ()).unwrap_err();
        let text = atlas_runtime::Chain(&refused).to_string();
        assert!(text.contains("sock") && text.contains("redis_password"), "{text}");
        assert!(!text.contains("barley") && !refused.is_away(), "{text}");
    }
    let (store, _) = Redis::open(&with(Some("open sesame"))).await.unwrap();
    Leader::of(Arc::new(store)).await.commit([contract::queued(1)]).await;
}

#[tokio::test]
async fn a_user_who_may_touch_only_our_keys_is_enough() {
    let rules = "--user atlas on >secret ~atlas:* +@all -@dangerous +info --user other on >secret ~other:* +@all \
                 --user default off";
    let server = Server::start(&rules.split(' ').collect::<Vec<_>>());
    let access = access(&server);
    let as_user = |name| {
        let url = format!("{}?user={name}", access.url);
        let password = Some(atlas_runtime::config::Secret::new("secret".to_owned()));
        Access { url, password, ca: None }
    };
    let (store, warnings) = Redis::open(&as_user("atlas")).await.unwrap();
    assert_eq!(warnings, [""; 0], "whoever may not read a setting is not warned of it");
    let mut leader = Leader::of(Arc::new(store)).await;
    leader.commit([contract::queued(1), contract::changed(1, contract::running("a"))]).await;
    assert_eq!(live(&leader).await, [contract::id(1)]);
    let (other, _) = Redis::open(&as_user("other")).await.unwrap();
    let refused = other.cluster().await.unwrap_err().to_string();
    assert!(refused.contains("~atlas:*"), "{refused}");
}

#[tokio::test]
async fn a_server_with_tls_is_trusted_by_its_own_authority_only() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let files = ours.arguments();
    let mut arguments = vec!["--tls-port".to_owned(), port.to_string()];
    arguments.extend(files);
    let _server = Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let access = |ca| Access { url: format!("rediss://localhost:{port}"), password: None, ca };
    for wrong in [None, Some(others.authority())] {
        let refused = Redis::open(&access(wrong)).await.map(|_| ()).unwrap_err();
        let text = atlas_runtime::Chain(&refused).to_string();
        assert!(text.contains("certificate") && text.contains("redis_ca"), "{text}");
        assert!(!refused.is_away(), "{text}");
    }
    let (store, _) = Redis::open(&access(Some(ours.authority()))).await.unwrap();
    Leader::of(Arc::new(store)).await.commit([contract::queued(1)]).await;
}
