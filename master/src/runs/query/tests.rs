//! Texts and what they mean, or why they mean nothing.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Each line as it is understood: printed again, or its error.
fn check(lines: &str, expected: &Expect) {
    let mut all = String::new();
    for line in lines.lines().map(str::trim).filter(|it| !it.is_empty()) {
        match Query::parse(line) {
            Ok(query) => {
                let printed = query.to_string();
                assert_eq!(Query::parse(&printed), Ok(query), "{line} is printed as {printed}");
                writeln!(all, "{printed}").unwrap();
            }
            Err(error) => writeln!(all, "{line} | {error}").unwrap(),
        }
    }
    expected.assert_eq(&all);
}

#[test]
fn what_users_write_is_understood() {
    check(
        r#"
        status=failed and params.lr<=0.01 and metrics.loss.min<0.2 sort -metrics.acc.max
        status == FAILED AND not user != ada
        tags.best exists or tags.keep not exists
        tags.best = "" and tags."two words"=x
        user in (ada, 'bob', "c d") and status not in (queued)
        (project=a or project=b) and num_gpus>=2
        not (project=a and project=b) or attempt=2
        name~"two words" and name ~ "and"
        submitted>=2026-11-20 and submitted<2026-11-20T10:00 and ended>-7d and started=2026-11-20T10:00:00+02:00
        duration>90m and duration<=2h
        params."a b"=1 and metrics."a.min">1 and metrics."a b".min<1 and metrics.val/acc.max>0.5
        metrics.a.b exists and metrics.min exists and metrics.min.max exists
        params.lr=nan or params.lr=null or params.lr=true or params.lr="true" or params.lr="1"
        params.seed=8888888888888888888888
        params.optimizer=adam and params.x="and" and params.x="it's \"so\""
        cause=exit-code and phase!=done and node=gpu-7 and id=45540b52
        sort name
        sort -submitted, params.lr,-metrics."a b".max
        "#,
        &expect![[r#"
            status=failed and params.lr<=0.01 and metrics.loss.min<0.2 sort -metrics.acc.max
            status=failed and not user!=ada
            tags.best exists or not tags.keep exists
            tags.best="" and tags."two words"=x
            user in (ada, bob, "c d") and not status in (queued)
            (project=a or project=b) and num_gpus>=2
            not (project=a and project=b) or attempt=2
            name~"two words" and name~"and"
            submitted>=2026-11-20 and submitted<2026-11-20T10:00 and ended>-7d and started=2026-11-20T10:00:00+02:00
            duration>1h30m and duration<=2h
            params."a b"=1 and metrics."a.min">1 and metrics."a b".min<1 and metrics.val/acc.max>0.5
            metrics.a.b exists and metrics.min exists and metrics.min.max exists
            params.lr=nan or params.lr=null or params.lr=true or params.lr="true" or params.lr="1"
            params.seed=8888888888888888888888
            params.optimizer=adam and params.x="and" and params.x="it's \"so\""
            cause=exit-code and phase!=done and node=gpu-7 and id=45540b52
            sort name
            sort -submitted, params.lr, -metrics."a b".max
        "#]],
    );
}

#[test]
fn a_field_or_value_that_there_is_not_is_refused_with_its_column() {
    check(
        r#"
        stats=failed
        metric.loss>1
        params>1
        parms.lr=1
        project.x=1
        colour=blue
        status=faild
        status<failed
        cause=timed-out
        phase=1
        num_gpus=two
        num_gpus~2
        num_gpus=nan
        submitted>yesterday
        submitted~2026
        duration>90
        "#,
        &expect![[r#"
            stats=failed | column 1: there is no field "stats"; did you mean status?
            metric.loss>1 | column 1: there is no field "metric.loss"; did you mean metrics.loss?
            params>1 | column 1: there is no field "params"; write params.KEY
            parms.lr=1 | column 1: there is no field "parms.lr"; did you mean params.lr?
            project.x=1 | column 1: there is no field "project.x"; did you mean project?
            colour=blue | column 1: there is no field "colour"; there are id, project, user, name, status, phase, cause, node, submitted, started, ended, duration, attempt, num_gpus, outputs, tags.KEY, params.KEY, metrics.KEY
            status=faild | column 8: status is never "faild", only queued, running, completed, failed; did you mean failed?
            status<failed | column 7: status has no order; use = != in or ~
            cause=timed-out | column 7: cause is never "timed-out", only exit-code, signal, stopped-by, timeout, out-of-memory, gpu-fault, image, bundle, requirements, rejected, node-lost, dependency, internal, unknown; did you mean timeout?
            phase=1 | column 7: phase is never "1", only queued, starting, running, stopping, archiving, done
            num_gpus=two | column 10: num_gpus is a number, and "two" is none
            num_gpus~2 | column 9: num_gpus is no text; use = != < <= > or >=
            num_gpus=nan | column 10: num_gpus is a number, and "nan" is none
            submitted>yesterday | column 11: "yesterday" is no time; write 2026-11-20, 2026-11-20T10:00 (UTC), 2026-11-20T10:00:00+02:00 or -7d
            submitted~2026 | column 10: submitted is no text; use = != < <= > or >=
            duration>90 | column 10: "90" is no length of time; write it with its unit: 90s, 5m, 1h30m, 2d
        "#]],
    );
}

#[test]
fn a_text_without_a_meaning_is_refused_with_its_column() {
    check(
        r#"
        user=
        user
        user ada
        user=ada bob
        user=ada and
        user=and
        user in (ada, sort)
        (user=ada
        user=ada)
        user in ada
        user in (ada
        user in ()
        user not ada
        !user=ada
        name="a
        größe=1
        params.größe="a
        params.=1
        params.""=1
        tags."x".min=1
        user."x"=1
        =1
        sort
        sort user name
        sort -
        user=ada sort colour
        "#,
        &expect![[r#"
            user= | column 6: here should be a value for user, and here is the end
            user | column 5: after user should be one of = != < <= > >= ~ in exists, and here is the end
            user ada | column 6: after user should be one of = != < <= > >= ~ in exists, and here is "ada"
            user=ada bob | column 10: here should be and, or, sort or the end
            user=ada and | column 13: here should be a condition, and here is the end
            user=and | column 6: here should be a value for user, and here is "and"
            user in (ada, sort) | column 15: here should be a value for user, and here is "sort"
            (user=ada | column 10: here should be and, or or )
            user=ada) | column 9: this ) has no ( before it
            user in ada | column 9: after in should be a list: (a, b)
            user in (ada | column 13: here should be a comma or )
            user in () | column 10: here should be a value for user, and here is )
            user not ada | column 10: after not should be in or exists
            !user=ada | column 1: ! stands alone; write != for "is not", and not before a condition
            name="a | column 6: the quote " that begins here has no end
            größe=1 | column 1: there is no field "größe"; there are id, project, user, name, status, phase, cause, node, submitted, started, ended, duration, attempt, num_gpus, outputs, tags.KEY, params.KEY, metrics.KEY
            params.größe="a | column 14: the quote " that begins here has no end
            params.=1 | column 1: here should be a key: params.KEY
            params.""=1 | column 8: here should be a key: params.KEY
            tags."x".min=1 | column 6: last, min, max and count are of metrics alone
            user."x"=1 | column 1: there is no field "user."; did you mean user?
            =1 | column 1: here should be a condition, and here is =
            sort | column 5: here should be a field to sort by, and here is the end
            sort user name | column 11: here should be and, or, sort or the end
            sort - | column 6: there is no field ""; there are id, project, user, name, status, phase, cause, node, submitted, started, ended, duration, attempt, num_gpus, outputs, tags.KEY, params.KEY, metrics.KEY
            user=ada sort colour | column 15: there is no field "colour"; there are id, project, user, name, status, phase, cause, node, submitted, started, ended, duration, attempt, num_gpus, outputs, tags.KEY, params.KEY, metrics.KEY
        "#]],
    );
}

#[test]
fn a_text_is_bounded() {
    let error = |text: &str| Query::parse(text).unwrap_err().to_string();
    let deep = format!("{}user=ada{}", "(".repeat(40), ")".repeat(40));
    assert_eq!(error(&deep), "column 33: this is more than 32 levels deep");
    assert_eq!(error(&"not ".repeat(1000)), "column 129: this is more than 32 levels deep");
    let wide = vec!["user=ada"; 101].join(" or ");
    assert_eq!(error(&wide), "column 1201: these are more than 100 comparisons");
    assert!(Query::parse(&vec!["user=ada"; 100].join(" or ")).is_ok());
    assert_eq!(error(&"x".repeat(8193)), "column 1: the text is longer than 8192 bytes");
    let keys = format!("sort {}", ["user"; 9].join(","));
    assert_eq!(error(&keys), "column 46: these are more than 8 sort keys");
}

#[test]
fn an_order_can_be_asked_for_alone() {
    let keys =
        |text: &str| Query::parse_sort(text).map(|sort| Query { filter: None, sort }.to_string());
    assert_eq!(keys("-metrics.acc.max, name").unwrap(), "sort -metrics.acc.max, name");
    assert_eq!(keys(" ").unwrap(), "");
    assert_eq!(keys("name user").unwrap_err().column, 6);
}

#[test]
fn the_keys_that_are_spoken_of_are_known() {
    let shown =
        |keys: Vec<Field>| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let text =
        "user=a and (not params.lr=1 or metrics.acc.max>1) and params.lr<2 sort -tags.x, name";
    assert_eq!(shown(Query::parse(text).unwrap().keys()), "params.lr metrics.acc.max tags.x");
    let asked = Query::parse_keys("params.lr, metrics.\"a b\".min, params.lr,").unwrap();
    assert_eq!(shown(asked), "params.lr metrics.\"a b\".min");
    let why = |text: &str| Query::parse_keys(text).unwrap_err().to_string();
    assert_eq!(
        why("params.lr, user"),
        "column 12: columns are tags.KEY, params.KEY or metrics.KEY"
    );
    assert_eq!(why("params.lr tags.x"), "column 11: here should be a comma or the end");
}

#[test]
fn a_query_can_be_narrowed() {
    let narrowed = |text: &str| {
        let query = Query::parse(text).unwrap().of_project("a b").with_status(Status::Failed);
        assert_eq!(query.project(), Some("a b"));
        query.of_user("ada").to_string()
    };
    let all = r#"project="a b" and status=failed and user=ada"#;
    assert_eq!(narrowed(""), all);
    assert_eq!(narrowed("name=x and id=1"), format!("name=x and id=1 and {all}"));
    assert_eq!(narrowed("name=x or id=1 sort id"), format!("(name=x or id=1) and {all} sort id"));
    assert_eq!(Query::parse("project=a or project=b").unwrap().project(), None);
    assert_eq!(Query::parse("not project=a").unwrap().project(), None);
}

#[test]
fn a_time_is_as_long_as_it_is_written() {
    let within = |text: &str| match Query::parse(&format!("ended=\"{text}\"")).unwrap().filter {
        Some(Expr::Test(Test {
            holds: Holds::Is(_, Value::Time(Time::Within { from, to, .. })),
            ..
        })) => (from, to - from),
        other => panic!("{other:?}"),
    };
    let ten = 1_795_168_800_000;
    assert_eq!(within("2026-11-20"), (ten - 36_000_000, 86_400_000));
    assert_eq!(within("2026-11-20T10:00"), (ten, 60_000));
    assert_eq!(within("2026-11-20 10:00:00"), (ten, 1000));
    assert_eq!(within("2026-11-20T10:00:00.120Z"), (ten + 120, 1));
    assert_eq!(within("2026-11-20T12:00+02"), (ten, 60_000));
    assert_eq!(within("2026-11-20T12:00:00+02:00"), (ten, 1000));
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", "[a-z.]{1,6}(min|max|last|count)?", ".{1,8}"]
}

fn field() -> impl Strategy<Value = Field> {
    let stat = prop_oneof![Just(Stat::Last), Just(Stat::Min), Just(Stat::Max), Just(Stat::Count)];
    prop_oneof![
        prop_oneof![Just(Field::User), Just(Field::Submitted), Just(Field::Duration)],
        prop_oneof![Just(Field::Status), Just(Field::NumGpus), Just(Field::Project)],
        key().prop_map(Field::Tag),
        key().prop_map(Field::Param),
        (key(), stat).prop_map(|(key, stat)| Field::Metric(key, stat)),
    ]
}

fn value(field: &Field) -> BoxedStrategy<Value> {
    let texts: BoxedStrategy<String> = match field.kind() {
        Kind::Text | Kind::Any => prop_oneof![
            ".{0,8}",
            "-?[0-9]{1,24}",
            "(nan|-inf|1e5|true|none|and|sort|exists|adam|\\.5)",
        ]
        .boxed(),
        Kind::Word => "(queued|running|completed|failed)".boxed(),
        Kind::Number => "-?[0-9]{1,24}".boxed(),
        Kind::Time => "(-[1-9]d|2026-11-20|2026-11-20 10:00|2026-11-20T10:00:00[+]02:00)".boxed(),
        Kind::Duration => "[1-9]{1,3}(ms|s|m|h|d)".boxed(),
    };
    let field = field.clone();
    (texts, any::<bool>())
        .prop_map(move |(text, quoted)| Value::of(&field, &text, quoted).unwrap())
        .boxed()
}

fn test() -> impl Strategy<Value = Expr> {
    field().prop_flat_map(|field| {
        let ops = match field.kind() {
            Kind::Word => vec![Op::Equal, Op::Unequal],
            _ => vec![Op::Equal, Op::Unequal, Op::Less, Op::AtMost, Op::More, Op::AtLeast],
        };
        let is = (prop::sample::select(ops), value(&field)).prop_map(|(op, it)| Holds::Is(op, it));
        let list = prop::collection::vec(value(&field), 1..4).prop_map(Holds::In);
        let text = matches!(field.kind(), Kind::Text | Kind::Any);
        let contains = if text { ".{0,5}" } else { "x{0}" };
        let contains = contains.prop_map(move |it| match text {
            true => Holds::Is(Op::Contains, Value::Text(it)),
            false => Holds::Exists,
        });
        prop_oneof![Just(Holds::Exists), is, list, contains]
            .prop_map(move |holds| Expr::Test(Test { field: field.clone(), holds }))
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    test().prop_recursive(4, 16, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several().prop_map(Expr::All),
            several().prop_map(Expr::Any),
            inner.clone().prop_map(|it| Expr::Not(Box::new(it))),
        ]
    })
}

/// Any at all.
pub fn query() -> impl Strategy<Value = Query> {
    let key = (field(), any::<bool>()).prop_map(|(field, falling)| Key { field, falling });
    (prop::option::of(expr()), prop::collection::vec(key, 0..4))
        .prop_map(|(filter, sort)| Query { filter, sort })
}

proptest! {
    #[test]
    fn a_printed_query_means_the_same(query in query()) {
        let printed = query.to_string();
        prop_assert_eq!(Query::parse(&printed), Ok(query), "{}", printed);
    }

    #[test]
    fn no_text_breaks_the_parser(text in ".{0,40}", pieces in "([a-z]{1,2}|[=<>~!()\"',. -]|and|not|params[.]|in|exists|sort){0,20}") {
        for text in [text, pieces] {
            if let Ok(query) = Query::parse(&text) {
                prop_assert_eq!(Query::parse(&query.to_string()), Ok(query), "{}", text);
            }
        }
    }
}
