//! Time limits, however they are said.

use atlas_core::time::Millis;

use super::*;

fn limit(text: &str) -> Option<Millis> {
    let flag = from_flags(|it| it.time_limit = Some(text.into())).unwrap().time_limit;
    let file = from_file(&format!("time_limit: {text}")).unwrap().0.time_limit;
    assert_eq!(flag, file, "{text}");
    flag
}

#[test]
fn a_time_limit_is_a_length_of_time_or_a_number_of_seconds() {
    for (text, seconds) in
        [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172_800), ("90", 90)]
    {
        assert_eq!(limit(text), Some(Millis::from_secs(seconds)), "{text}");
    }
    assert_eq!(limit("1.5"), Some(Millis(1500)));
    assert_eq!(limit("3650d"), Some(Millis::from_secs(3650 * 86_400)));
    assert_eq!(from_file("time_limit:").unwrap().0.time_limit, None);
    assert_eq!(built(request()).unwrap().0.time_limit, None);
}

#[test]
fn what_is_no_time_limit_is_refused_with_what_was_given() {
    refused(
        &["time_limit: 0", "num_gpus: 0\ntime_limit: soon", "time_limit: [1]", "time_limit: .nan"],
        &expect![[r#"
            job.config.yaml:1: time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "0"
            job.config.yaml:2: time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "soon"
            job.config.yaml:1: time_limit: expected a text, found a list
            job.config.yaml:1: value `.nan` is not a finite number
        "#]],
    );
    refused_flags(
        &[
            |it| it.time_limit = Some("0s".into()),
            |it| it.time_limit = Some("-5m".into()),
            |it| it.time_limit = Some("nan".into()),
            |it| it.time_limit = Some("1:30:00".into()),
            |it| it.time_limit = Some("0.0001".into()),
            |it| it.time_limit = Some("3651d".into()),
            |it| it.time_limit = Some("99999999999999999999".into()),
            |it| it.time_limit = Some("1e9".into()),
            |it| it.time_limit = Some(String::new()),
            |it| it.time_limit = Some("\u{1b}[31mred".into()),
        ],
        &expect![[r#"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "0s"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "-5m"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "nan"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "1:30:00"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "0.0001"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "3651d"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "99999999999999999999"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "1e9"
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: ""
            time_limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: "\u{1b}[31mred"
        "#]],
    );
}
