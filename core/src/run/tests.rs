use super::*;

const FIRST: Attempt = Attempt(1);
const SECOND: Attempt = Attempt(2);

fn take<'a>(run: &mut Run, attempt: Attempt, line: &'a str) -> Option<Point<'a>> {
    run.take(attempt, Timestamp(9), serde_json::from_str(line).unwrap())
}

fn all(run: &mut Run, attempt: Attempt, lines: &[&str]) {
    for line in lines {
        take(run, attempt, line);
    }
}

fn metric(key: &str, value: &str, more: &str) -> String {
    format!(r#"{{"e":"metric","key":"{key}","value":{value}{more}}}"#)
}

fn log(run: &mut Run, attempt: Attempt, value: &str, more: &str) -> Option<u64> {
    take(run, attempt, &metric("loss", value, more)).map(|it| it.step)
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn every_value_reads_as_what_it_was_written_from() {
    let text = r#"[null,true,-7,9223372036854775807,{"$int":"9223372036854775808"},{"$int":"-99999999999999999999"},1.0,1e300,{"$float":"nan"},{"$float":"inf"},{"$float":"-inf"},"x",[],{"a":{"b":[1]}},{}]"#;
    let values = value(text);
    let written = serde_json::to_string(&values).unwrap();
    assert_eq!(written, text.replace("1e300", "1e+300"));
    assert_eq!(value(&written), values);
}

#[test]
fn every_finite_float_reads_as_the_same_bits() {
    let patterns = (1..20_000u64).map(|it| it * 0x0000_1357_9bdf_0246).map(f64::from_bits);
    let elevenths = (1..20_000).map(|it| f64::from(it) / 11.0);
    for float in patterns.chain(elevenths).filter(|it| it.is_finite()) {
        let Value::Scalar(Scalar::Float(read)) = value(&format!("{float:e}")) else {
            panic!("{float} is read as something else");
        };
        assert_eq!(read.to_bits(), float.to_bits(), "{float:e}");
    }
}

#[test]
fn tags_that_say_nothing_are_maps_of_the_user() {
    for text in [r#"{"$int":"x"}"#, r#"{"$float":"1"}"#, r#"{"$int":"1","a":1}"#, r#"{"$int":1}"#] {
        assert!(matches!(value(text), Value::Map(_)), "{text}");
    }
    assert_eq!(value(r#"{"$int":"0007"}"#), Scalar::Int(7).into());
    assert_eq!(value("18446744073709551615"), value(r#"{"$int":"18446744073709551615"}"#));
}

#[test]
fn what_lies_too_deep_is_refused() {
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(serde_json::from_str::<Value>(&nested(32)).is_ok());
    assert!(serde_json::from_str::<Value>(&nested(33)).is_err());
}

#[test]
fn a_line_that_is_no_event_is_an_error_that_says_why() {
    for (line, why) in [
        (r#"{"e":"metric","value":1}"#, "without \"key\""),
        (r#"{"e":"metric","key":"k"}"#, "without \"value\""),
        (r#"{"e":"metric","key":"k","value":null}"#, "no bool"),
        (r#"{"e":"metric","key":"k","value":[1]}"#, "no bool"),
        (r#"{"e":"metric","key":"k","value":1,"step":-1}"#, "-1"),
        (r#"{"e":"metric","key":"k","value":1,"step":9223372036854775808}"#, "too large"),
        (r#"{"e":"metric","key":"k","value":1,"at":1e18}"#, "1e+18"),
        (r#"{"e":"metric","key":"k","value":1,"at":1790000000123000}"#, "milliseconds"),
        (r#"{"e":"metric","key":"k","value":1,"v":2}"#, "version 2"),
        (r#"{"e":"tag","key":"k","value":1}"#, "must be text"),
        (r#"{"e":"artifact","key":"k","path":"../x"}"#, "leads out"),
        (r#"{"e":"artifact","key":"k","path":"/x"}"#, "leads out"),
        (r#"{"e":"synced","key":"k"}"#, "\"files\""),
        (r#"{"e":"what"}"#, "not known"),
        ("{}", "missing field `e`"),
    ] {
        let error = serde_json::from_str::<Entry<'_>>(line).unwrap_err().to_string();
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn facts_of_node_and_process_stand_beside_each_other() {
    let mut run = Run::default();
    let fact = |value: &str| format!(r#"{{"e":"facts","value":{value}}}"#);
    let known = |run: &Run| serde_json::to_string(&run.facts).unwrap();
    take(&mut run, FIRST, &fact(r#"{"machine":{"driver":"550"}}"#));
    take(&mut run, FIRST, &fact(r#"{"python":"3.12"}"#));
    take(&mut run, SECOND, &fact(r#"{"machine":{"driver":"560"}}"#));
    take(&mut run, FIRST, &fact(r#"{"machine":{},"late":1}"#));
    let expected = r#"{"late":1,"machine":{"driver":"560"},"python":"3.12"}"#;
    assert_eq!(known(&run), expected);
    for name in ["a", "b", "c"] {
        let much = format!(r#"{{"{name}":"{}"}}"#, "x".repeat(60_000));
        take(&mut run, SECOND, &fact(&much));
    }
    assert_eq!(run.left.over_limit, 1, "the third is too much");
    assert!(known(&run).contains("machine"));
    take(&mut run, SECOND, &fact("1"));
    assert_eq!(known(&run), "1");
}

#[test]
fn a_later_field_is_ignored() {
    let line = r#"{"e":"metric","key":"loss","value":1,"unit":"m","v":1}"#;
    assert!(take(&mut Run::default(), FIRST, line).is_some());
}

#[test]
fn a_point_without_a_step_gets_the_number_of_those_before() {
    let mut run = Run::default();
    let steps: Vec<_> = (0..3).map(|_| log(&mut run, FIRST, "1", "").unwrap()).collect();
    assert_eq!(steps, [0, 1, 2]);
    assert_eq!(log(&mut run, FIRST, "1", r#","rank":3"#), Some(0));
    assert_eq!(log(&mut run, FIRST, "1", r#","step":70"#), Some(70));
    assert_eq!(log(&mut run, FIRST, "1", ""), Some(4));
    assert_eq!(log(&mut run, SECOND, "1", ""), Some(0));
    assert_eq!(run.points(), 7);
}

#[test]
fn the_last_value_is_that_of_the_highest_step_and_of_two_the_later_one() {
    let mut run = Run::default();
    for (value, step) in [(1, 5), (2, 9), (3, 9), (4, 7)] {
        log(&mut run, FIRST, &value.to_string(), &format!(r#","step":{step}"#));
    }
    let summary = &run.metrics["loss"];
    assert_eq!((&summary.last, summary.last_step), (&Scalar::Int(3), 9));
    let ends = [&summary.min, &summary.max].map(|it| it.as_ref().unwrap().step);
    assert_eq!((summary.count, ends), (4, [5, 7]));
}

#[test]
fn not_a_number_is_neither_the_least_nor_the_greatest() {
    let mut run = Run::default();
    for value in [r#"{"$float":"nan"}"#, "2", r#"{"$float":"-inf"}"#, "2.5", r#"{"$float":"nan"}"#]
    {
        log(&mut run, FIRST, value, "");
    }
    let Summary { last, min, max, count, .. } = &run.metrics["loss"];
    assert_eq!((last, count), (&Scalar::Float(f64::NAN), &5));
    assert_eq!(min.as_ref().unwrap().value, Scalar::Float(f64::NEG_INFINITY));
    assert_eq!(max, &Some(Extreme { value: Scalar::Float(2.5), step: 3 }));
}

#[test]
fn a_key_that_changes_its_type_breaks_nothing() {
    let mut run = Run::default();
    for value in ["7", r#""seven""#, "true", r#"{"$int":"77777777777777777777"}"#] {
        log(&mut run, FIRST, value, "");
    }
    let Summary { last, min, max, count, .. } = &run.metrics["loss"];
    let greatest = Scalar::BigInt("77777777777777777777".into());
    assert_eq!((last, *count), (&greatest, 4));
    assert_eq!(min.as_ref().unwrap().value, Scalar::Int(7));
    assert_eq!(max.as_ref().unwrap().value, greatest);
}

#[test]
fn a_summary_is_of_the_lowest_rank_that_logged_the_metric() {
    let mut run = Run::default();
    log(&mut run, FIRST, "3", r#","rank":2"#);
    log(&mut run, FIRST, "1", r#","rank":1"#);
    log(&mut run, FIRST, "9", r#","rank":2"#);
    let Summary { last, count, rank, .. } = &run.metrics["loss"];
    assert_eq!((last, *count, *rank), (&Scalar::Int(1), 1, 1));
    assert_eq!(run.attempts[&FIRST].points["loss"], [(1, 1), (2, 2)].into());
}

#[test]
fn the_same_key_again_overwrites_and_an_artifact_gets_a_version_more() {
    let mut run = Run::default();
    let lines = [
        r#"{"e":"param","key":"lr","value":0.1,"at":1}"#,
        r#"{"e":"param","key":"lr","value":{"a":[1,null]},"at":1}"#,
        r#"{"e":"tag","key":"best","value":"","at":1}"#,
        r#"{"e":"name","value":"try 7","at":1}"#,
        r#"{"e":"facts","value":{"python":"3.11"},"at":1}"#,
        r#"{"e":"project","value":"mnist","at":1}"#,
        r#"{"e":"artifact","key":"model","path":"1/model.pt","bytes":5,"at":1}"#,
        r#"{"e":"artifact","key":"model","path":"2/model.pt","bytes":6,"folder":false,"at":2}"#,
    ];
    all(&mut run, FIRST, &lines);
    assert_eq!(run.params["lr"], value(r#"{"a":[1,null]}"#));
    assert_eq!(run.tags, [("best".to_owned(), String::new())].into());
    assert_eq!(run.name.as_deref(), Some("try 7"));
    assert_eq!(run.facts, Some(value(r#"{"python":"3.11"}"#)));
    let paths: Vec<_> = run.artifacts["model"].iter().map(|it| &*it.path).collect();
    assert_eq!(paths, ["1/model.pt", "2/model.pt"]);
    assert!(run.left.is_nothing());
}

#[test]
fn what_comes_late_of_an_older_attempt_changes_nothing_of_the_later_one() {
    let mut run = Run::default();
    log(&mut run, FIRST, "1", "");
    log(&mut run, SECOND, "5", "");
    all(&mut run, SECOND, &[r#"{"e":"param","key":"lr","value":2}"#]);
    let before = run.metrics.clone();
    assert_eq!(log(&mut run, FIRST, "99", ""), Some(1));
    let late = [
        r#"{"e":"param","key":"lr","value":1}"#,
        r#"{"e":"param","key":"old","value":1}"#,
        r#"{"e":"artifact","key":"model","path":"b"}"#,
    ];
    all(&mut run, SECOND, &[r#"{"e":"artifact","key":"model","path":"c"}"#]);
    all(&mut run, FIRST, &late);
    assert_eq!(run.metrics, before);
    assert_eq!(
        run.params,
        [("lr", 2), ("old", 1)].map(|(k, v)| (k.to_owned(), Scalar::Int(v).into())).into()
    );
    let paths: Vec<_> = run.artifacts["model"].iter().map(|it| &*it.path).collect();
    assert_eq!(paths, ["b", "c"]);
}

#[test]
fn what_is_beyond_a_limit_is_counted_and_says_why() {
    let mut run = Run::default();
    let (long, text) = ("k".repeat(251), "é".repeat(600));
    let lines = [
        metric("", "1", ""),
        metric(&long, "1", ""),
        metric("a\\u0000b", "1", ""),
        metric("text", &format!("\"{text}\""), ""),
        format!(r#"{{"e":"param","key":"big","value":"{}"}}"#, "x".repeat(16 << 10)),
        format!(r#"{{"e":"tag","key":"long","value":"{}"}}"#, "x".repeat(1001)),
        r#"{"e":"dropped","key":"loss","why":"too long","count":3}"#.to_owned(),
    ];
    all(&mut run, FIRST, &lines.each_ref().map(String::as_str));
    assert_eq!(run.left.over_limit, 8);
    assert_eq!(run.left.why["big"], "a parameter's value is too long");
    assert_eq!(run.left.why["loss"], "too long");
    assert_eq!(run.metrics["text"].last, Scalar::Text("é".repeat(500)));
    assert_eq!(run.metrics.len(), 1);
}

#[test]
fn a_run_holds_so_many_of_each_and_no_more_than_its_weight() {
    let mut run = Run::default();
    for number in 0..10_002 {
        take(&mut run, FIRST, &metric(&format!("m{number}"), "1", ""));
        let tag = format!(r#"{{"e":"tag","key":"t{number}","value":""}}"#);
        take(&mut run, FIRST, &tag);
    }
    assert_eq!((run.metrics.len(), run.tags.len()), (10_000, 500));
    assert_eq!(run.left.over_limit, 2 + 9_502);
    assert_eq!(run.left.why.len(), limits::LEFT);
    let value = "x".repeat(10_000);
    for number in 0..1_000 {
        let param = format!(r#"{{"e":"param","key":"p{number}","value":"{value}"}}"#);
        take(&mut run, FIRST, &param);
    }
    assert!((600..1_000).contains(&run.params.len()), "{}", run.params.len());
    // What is there can still be changed for something smaller.
    all(&mut run, FIRST, &[r#"{"e":"param","key":"p0","value":1}"#]);
    assert_eq!(run.params["p0"], Scalar::Int(1).into());
}

#[test]
fn a_run_is_kept_as_it_is() {
    let mut run = Run::default();
    for line in [
        metric("loss", r#"{"$float":"nan"}"#, r#","rank":1"#),
        metric("loss", "0.25", r#","step":7,"at":1790000000123"#),
        r#"{"e":"param","key":"lr","value":[{"$int":"99999999999999999999"}]}"#.to_owned(),
        r#"{"e":"artifact","key":"model","path":"1/model.pt","bytes":5,"folder":true}"#.to_owned(),
        r#"{"e":"synced","key":"data","files":2,"bytes":5}"#.to_owned(),
        r#"{"e":"dropped","key":"loss","why":"too long"}"#.to_owned(),
    ] {
        take(&mut run, FIRST, &line);
    }
    let spool = run.attempts.get_mut(&FIRST).unwrap();
    spool.offset = 321;
    spool.segments.push(Segment { epoch: Epoch(4), bytes: 77 });
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    expect_test::expect![[r#"{"params":{"lr":[{"$int":"99999999999999999999"}]},"metrics":{"loss":{"last":0.25,"last_step":7,"count":1,"min":{"value":0.25,"step":7},"max":{"value":0.25,"step":7}}},"artifacts":{"model":[{"path":"1/model.pt","bytes":5,"folder":true,"at":9,"attempt":1}]},"synced":{"data":{"files":2,"bytes":5,"at":9,"attempt":1}},"weight":454,"left":{"unreadable":0,"over_limit":1,"why":{"loss":"too long"}},"attempts":{"1":{"offset":321,"points":{"loss":{"0":1,"1":1}},"segments":[{"epoch":4,"bytes":77}]}}}"#]].assert_eq(&text);
    assert_eq!(serde_json::from_str::<Run>("{}").unwrap(), Run::default());
}

#[test]
fn what_is_written_of_an_event_is_what_it_is_read_from() {
    for line in [
        r#"{"e":"metric","key":"loss","value":0.25,"step":7,"rank":1,"at":1790000000123}"#,
        r#"{"e":"metric","key":"n","value":{"$int":"99999999999999999999"},"at":1}"#,
        r#"{"e":"param","key":"lr","value":{"a":[null,{"$float":"nan"}]},"at":1}"#,
        r#"{"e":"tag","key":"a \"b\"","value":"\u0001\n","at":1}"#,
        r#"{"e":"name","value":"try 7"}"#,
        r#"{"e":"project","value":"p","at":1}"#,
        r#"{"e":"artifact","key":"m","path":"3f/m.pt","bytes":123,"folder":false,"at":1}"#,
        r#"{"e":"synced","key":"data","files":2,"bytes":123,"at":1}"#,
        r#"{"e":"facts","value":{"python":"3.12.1"},"at":1}"#,
        r#"{"e":"dropped","key":"loss","why":"it is long","count":3,"at":1}"#,
    ] {
        let entry: Entry<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), line);
    }
}

#[test]
fn of_a_folder_the_last_upload_counts_and_there_is_an_end_to_them() {
    let mut run = Run::default();
    let synced = |key: &str, files| format!(r#"{{"e":"synced","key":"{key}","files":{files}}}"#);
    for (attempt, files) in [(FIRST, 1), (FIRST, 2), (SECOND, 3), (FIRST, 4)] {
        take(&mut run, attempt, &synced("data", files));
    }
    assert_eq!((run.synced["data"].files, run.synced["data"].attempt), (3, SECOND));
    (0..=limits::SYNCED).for_each(|it| drop(take(&mut run, SECOND, &synced(&format!("k{it}"), 1))));
    assert_eq!((run.synced.len(), run.left.over_limit), (limits::SYNCED, 2));
}
