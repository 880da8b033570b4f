//! What is found, in which order, page by page.

use std::fmt::Write as _;

use atlas_core::job::{Archive, End, JobState, Placement, Removal, Remover, Written};
use atlas_core::spec::Sealed;
use atlas_core::{Attempt, Cause, Outcome, Position};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::runs::query::Expr;
use crate::runs::query::tests::query;
use crate::store::contract;

const NOW: Timestamp = Timestamp(1_795_168_800_000);
const HOUR: u64 = 3_600_000;

fn id(n: u64) -> JobId {
    let mut bytes = [0x45; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    JobId::from_random(bytes)
}

fn status(n: u64, state: JobState) -> JobStatus {
    JobStatus {
        submitted: Timestamp(NOW.0 - 24 * HOUR + n * HOUR),
        position: Position(n),
        attempt: Attempt(1),
        lost: 0,
        image: None,
        sealed: Sealed::default(),
        past: Vec::new(),
        imported: None,
        state,
    }
}

fn queued() -> JobState {
    JobState::Queued { excluded: Vec::new() }
}

fn placement() -> Placement {
    Placement { node: "gpu-7".parse().unwrap(), gpus: Vec::new(), attempt: Attempt(1) }
}

fn done(outcome: Outcome, minutes: u64) -> JobState {
    let started = Timestamp(NOW.0 - HOUR);
    let at = Timestamp(started.0 + minutes * 60_000);
    let end = End { outcome, at, started: Some(started), log_length: 0, spool_length: 0 };
    JobState::done(end, Some("gpu-7".parse().unwrap()), Archive::Complete)
}

fn without_outputs(mut state: JobState) -> JobState {
    let by = Remover::User("ada".into());
    let JobState::Done { written, .. } = &mut state else { unreachable!("it is done") };
    *written = Written::Removed(Removal { by, at: NOW, bytes: None });
    state
}

fn run(lines: &[&str]) -> Run {
    let mut run = Run::default();
    for line in lines {
        run.take(Attempt(1), NOW, serde_json::from_str(line).unwrap());
    }
    run
}

fn param(key: &str, json: &str) -> String {
    format!(r#"{{"e":"param","key":"{key}","value":{json}}}"#)
}

fn metric(key: &str, json: &str) -> String {
    format!(r#"{{"e":"metric","key":"{key}","value":{json}}}"#)
}

/// Six jobs named after their numbers, of two projects.
fn index() -> Index {
    let mut index = Index::default();
    let failed = Outcome::failed(Cause::ExitCode(3), "");
    let states = [
        done(Outcome::Completed, 5),
        done(failed, 30),
        JobState::Running { placement: placement(), started: Timestamp(NOW.0 - 2 * HOUR) },
        queued(),
        without_outputs(done(Outcome::Completed, 50)),
        queued(),
    ];
    for (n, state) in (1u64..).zip(states) {
        let mut spec = contract::spec();
        spec.project = if n == 6 { "other" } else { "mnist" }.parse().unwrap();
        spec.name = Some(n.to_string());
        spec.user = if n % 2 == 0 { "ada" } else { "bob" }.into();
        spec.demand.gpus = u32::try_from(n / 2).unwrap();
        spec.params = (n == 4).then(|| r#"{"lr": 0.5, "net": {"layers": [1, 2]}}"#.into());
        index.put(id(n), &spec, &status(n, state));
    }
    let lr = ["0", "0.01", "\"fast\"", "", "null", "\"0.01\""];
    let loss = ["0.25", "{\"$float\":\"nan\"}", "true", "\"low\"", "-1", "0"];
    let seed = ["9007199254740993", "9007199254740992", "{\"$int\":\"88888888888888888888\"}"];
    for (n, (lr, loss)) in (1u64..).zip(lr.iter().zip(loss)) {
        let mut lines = vec![metric("loss", loss), metric("acc.max", "1")];
        if n != 4 {
            lines.push(param("lr", lr));
        }
        if let Some(seed) = seed.get(n as usize - 1) {
            lines.push(param("seed", seed));
        }
        if n == 2 {
            lines.push(metric("loss", "0.5"));
            lines.push(metric("loss", "{\"$float\":\"nan\"}"));
            lines.push(r#"{"e":"tag","key":"best","value":""}"#.into());
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(index.tell(id(n), &run(&lines)));
    }
    index
}

fn names(index: &Index, text: &str) -> String {
    let query = Query::parse(text).unwrap();
    let found = index.find(&query, None, 100, NOW);
    assert_eq!(found.total, found.ids.len(), "{text}");
    let name = |it: &JobId| (1..100).find(|n| id(*n) == *it).expect("a known id").to_string();
    found.ids.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn check(lines: &str, expected: &Expect) {
    let index = index();
    let mut all = String::new();
    for line in lines.lines().map(str::trim).filter(|it| !it.is_empty()) {
        writeln!(all, "{line}: {}", names(&index, line)).unwrap();
    }
    expected.assert_eq(&all);
}

#[test]
fn what_a_filter_says_of_a_job_is_found() {
    check(
        r#"
        user=ada
        project=mnist and user!=ada
        project=nothing
        status=failed or status=queued
        status in (completed, failed) and not cause=exit-code
        cause exists
        phase=running and node=gpu-7
        outputs=removed
        node not exists
        num_gpus=0
        num_gpus>=2 and attempt=1
        name in (1, "2", 7)
        user~AD
        id=00000000-0000-4002
        id~4003-
        id!=00000000-0000-4002
        submitted>=-20h
        submitted=2026-11-19
        submitted>2026-11-19 and submitted<=2026-11-19T14:00
        duration>=30m
        duration<10m
        started exists and ended not exists
        "#,
        &expect![[r#"
            user=ada: 6 4 2
            project=mnist and user!=ada: 5 3 1
            project=nothing: 
            status=failed or status=queued: 6 4 2
            status in (completed, failed) and not cause=exit-code: 5 1
            cause exists: 2
            phase=running and node=gpu-7: 3
            outputs=removed: 5
            node not exists: 6 4
            num_gpus=0: 1
            num_gpus>=2 and attempt=1: 6 5 4
            name in (1, "2", 7): 2 1
            user~AD: 6 4 2
            id=00000000-0000-4002: 2
            id~4003-: 3
            id!=00000000-0000-4002: 6 5 4 3 1
            submitted>=-20h: 6 5 4
            submitted=2026-11-19: 6 5 4 3 2 1
            submitted>2026-11-19 and submitted<=2026-11-19T14:00: 
            duration>=30m: 5 3 2
            duration<10m: 1
            started exists and ended not exists: 3
        "#]],
    );
}

#[test]
fn what_a_filter_says_of_a_key_is_found() {
    check(
        r#"
        tags.best exists
        tags.best=""
        tags.best!=x
        params.lr=0
        params.lr=0.01
        params.lr="0.01"
        params.lr!=0.01
        not params.lr=0.01
        params.lr<1
        params.lr<g
        params.lr~AS
        params.lr=null
        params.lr in (0, fast)
        params.net_layers_1=2
        params.seed=9007199254740993
        params.seed>9007199254740992
        params.seed>1e15
        params.seed=88888888888888888888
        metrics.loss=nan
        metrics.loss!=0.25
        metrics.loss!=nan
        metrics.loss<1
        metrics.loss=true
        metrics.loss=low
        metrics.loss.min=0.5
        metrics.loss.count>1
        metrics."acc.max"=1
        metrics.acc exists
        metrics.nothing=1 or metrics.nothing!=1
        "#,
        &expect![[r#"
            tags.best exists: 2
            tags.best="": 2
            tags.best!=x: 2
            params.lr=0: 1
            params.lr=0.01: 6 2
            params.lr="0.01": 6
            params.lr!=0.01: 5 4 3 1
            not params.lr=0.01: 5 4 3 1
            params.lr<1: 4 2 1
            params.lr<g: 6 3
            params.lr~AS: 3
            params.lr=null: 5
            params.lr in (0, fast): 3 1
            params.net_layers_1=2: 4
            params.seed=9007199254740993: 1
            params.seed>9007199254740992: 3 1
            params.seed>1e15: 3 2 1
            params.seed=88888888888888888888: 3
            metrics.loss=nan: 2
            metrics.loss!=0.25: 6 5 4 3
            metrics.loss!=nan: 6 5 4 3 1
            metrics.loss<1: 6 5 1
            metrics.loss=true: 3
            metrics.loss=low: 4
            metrics.loss.min=0.5: 2
            metrics.loss.count>1: 2
            metrics."acc.max"=1: 6 5 4 3 2 1
            metrics.acc exists: 
            metrics.nothing=1 or metrics.nothing!=1: 
        "#]],
    );
}

#[test]
fn what_was_found_comes_in_order() {
    check(
        r#"
        sort name
        sort -name
        sort user, -num_gpus
        sort id
        sort -submitted
        sort duration
        sort -duration
        sort status, name
        sort params.lr
        sort -params.lr
        sort params.seed
        sort -params.seed
        sort metrics.loss
        sort -metrics.loss
        sort metrics.loss.min
        sort -metrics.loss.count, project
        sort tags.best
        sort params.nothing
        "#,
        &expect![[r#"
            sort name: 1 2 3 4 5 6
            sort -name: 6 5 4 3 2 1
            sort user, -num_gpus: 6 4 2 5 3 1
            sort id: 1 2 3 4 5 6
            sort -submitted: 6 5 4 3 2 1
            sort duration: 1 2 5 3 6 4
            sort -duration: 3 5 2 1 6 4
            sort status, name: 1 5 2 4 6 3
            sort params.lr: 1 2 4 6 3 5
            sort -params.lr: 4 2 1 3 6 5
            sort params.seed: 2 1 3 6 5 4
            sort -params.seed: 3 1 2 6 5 4
            sort metrics.loss: 3 5 6 1 4 2
            sort -metrics.loss: 3 1 6 5 4 2
            sort metrics.loss.min: 5 6 1 2 4 3
            sort -metrics.loss.count, project: 2 5 4 3 1 6
            sort tags.best: 2 6 5 4 3 1
            sort params.nothing: 6 5 4 3 2 1
        "#]],
    );
}

#[test]
fn pages_are_the_listing_whatever_comes_and_goes_between_them() {
    for text in ["", "sort params.lr", "sort -metrics.loss", "sort user, -duration", "sort -id"] {
        let query = Query::parse(text).unwrap();
        let mut index = index();
        let whole = index.find(&query, None, 100, NOW).ids;
        let (mut pages, mut cursor, mut more) = (Vec::new(), None, 10);
        loop {
            let found = index.find(&query, cursor.as_ref(), 2, Timestamp(NOW.0 + HOUR));
            pages.extend(found.ids);
            let Some(next) = found.next else { break };
            cursor = Some(Cursor::read(&next.text(), &query).unwrap());
            more += 1;
            index.put(id(more), &contract::spec(), &status(more, queued()));
        }
        // What came meanwhile is behind the last page, or in it, but moves nothing.
        pages.retain(|it| whole.contains(it));
        assert_eq!(pages, whole, "{text}");
    }
}

proptest! {
    #[test]
    fn any_query_is_answered_page_by_page_as_in_one(query in query()) {
        let index = index();
        let whole = index.find(&query, None, 100, NOW);
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let found = index.find(&query, cursor.as_ref(), 1, NOW);
            prop_assert_eq!(found.total, whole.total);
            pages.extend(found.ids);
            let Some(next) = found.next else { break };
            cursor = Some(Cursor::read(&next.text(), &query).unwrap());
        }
        prop_assert_eq!(&pages, &whole.ids);
        // What a filter says and what its opposite says is everything.
        let others = Query { filter: query.filter.map(|it| Expr::Not(Box::new(it))), sort: vec![] };
        let others = if others.filter.is_none() { 0 } else { index.find(&others, None, 9, NOW).total };
        prop_assert_eq!(whole.total + others, index.len());
    }
}

#[test]
fn a_cursor_is_of_its_query_alone() {
    let query = |text: &str| Query::parse(text).unwrap();
    let found = index().find(&query("sort name"), None, 2, NOW);
    assert_eq!((found.total, found.ids.len()), (6, 2));
    let text = found.next.unwrap().text();
    assert!(Cursor::read(&text, &query("sort name")).is_some());
    for (text, of) in [
        (text.as_str(), "sort -name"),
        (text.as_str(), "user=ada sort name"),
        ("", "sort name"),
        ("nonsense", "sort name"),
        (&"A".repeat(100_000), "sort name"),
    ] {
        assert!(Cursor::read(text, &query(of)).is_none(), "{text} {of}");
    }
}

#[test]
fn a_run_that_changes_is_found_as_it_is_now() {
    let mut index = index();
    assert_eq!(names(&index, "status=queued"), "6 4");
    index.change(id(4), &status(4, done(Outcome::Completed, 1)));
    index.tell(id(4), &run(&[&metric("loss", "7"), &param("lr", "[1, 2]")]));
    assert_eq!(names(&index, "status=queued"), "6");
    assert_eq!(names(&index, "metrics.loss=7 and params.lr=\"[1,2]\" and duration=1m"), "4");
    index.remove(id(1));
    index.remove(id(4));
    index.remove(id(4));
    assert_eq!(names(&index, ""), "6 5 3 2");
    assert_eq!(names(&index, "sort metrics.loss"), "3 5 6 2");
    assert_eq!((names(&index, "params.net_layers_0 exists"), index.len()), (String::new(), 4));
    assert!(!index.change(id(4), &status(4, queued())));
    for n in 1..7 {
        index.remove(id(n));
    }
    // The words of statuses and phases, and the projects, stay.
    let texts = (0..index.texts.bound()).count();
    index.put(id(1), &contract::spec(), &status(1, queued()));
    assert_eq!((index.projects().len(), index.texts.bound()), (1, texts));
}

#[test]
fn a_listing_shows_what_its_runs_have() {
    let index = index();
    let shown = |columns: &Columns, ids: &[JobId]| {
        let Values { columns, rows } = index.values(ids, columns);
        let mut all = columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        for row in rows {
            let cell = |it: &Option<atlas_core::run::Value>| serde_json::to_string(it).unwrap();
            write!(all, "\n{}", row.iter().map(cell).collect::<Vec<_>>().join(" ")).unwrap();
        }
        all
    };
    let ids = [id(3), id(2), id(99), id(4)];
    expect![[r#"
        params.lr params.net_layers_0 params.net_layers_1 params.seed metrics."acc.max" metrics.loss
        "fast" null null {"$int":"88888888888888888888"} 1 true
        0.01 null null 9007199254740992 1 {"$float":"nan"}
        null null null null null null
        0.5 1 2 null 1 "low""#]]
    .assert_eq(&shown(&Columns::All, &ids));
    let keys = Query::parse_keys("tags.best, metrics.loss.count, params.nothing").unwrap();
    expect![[r#"
        tags.best metrics.loss.count params.nothing
        null 1 null
        "" 3 null
        null null null
        null 1 null"#]]
    .assert_eq(&shown(&Columns::These(keys), &ids));
    assert_eq!(shown(&Columns::All, &[]), "");
}

#[test]
fn keys_and_projects_are_known() {
    let index = index();
    let mut all = String::new();
    for Key { field, kinds, runs, across } in index.keys("mnist") {
        write!(all, "{field}: {runs} {kinds:?}").unwrap();
        if let Some(Across { last, min, max }) = across {
            let text = |it: Option<atlas_core::run::Value>| serde_json::to_string(&it).unwrap();
            write!(all, " last {} min {} max {}", text(last), text(min), text(max)).unwrap();
        }
        all.push('\n');
    }
    for it in index.projects() {
        let Project { name, runs, queued, running, completed, failed, .. } = it;
        writeln!(all, "{name}: {runs} = {queued} {running} {completed} {failed}").unwrap();
    }
    expect![[r#"
        metrics."acc.max": 5 [Number] last 1 min 1 max 1
        metrics.loss: 5 [Bool, Number, Text] last -1 min -1 max 0.5
        params.lr: 5 [Null, Number, Text]
        params.net_layers_0: 1 [Number]
        params.net_layers_1: 1 [Number]
        params.seed: 3 [Number, Big]
        tags.best: 1 [Text]
        mnist: 5 = 1 1 2 1
        other: 1 = 1 0 0 0
    "#]]
    .assert_eq(&all);
    assert_eq!(index.keys("nothing"), []);
}
