//! A project's rule as people write it: `outputs 30d`, or `off`.

use atlas_core::Retention;
use atlas_core::retention::KEEP;
use atlas_core::time::Millis;
use atlas_runtime::config::Duration;

/// What a project says that has none.
pub const OFF: &str = "off";
/// A hundred years: whoever means more means for ever.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 3600);
const SHORTEST: Duration = Duration::from_secs(1);

/// `None` = everything is kept; else why it is no rule, with the nearest one that is.
pub fn parse(text: &str) -> Result<Option<Retention>, String> {
    let lower = text.to_ascii_lowercase();
    match lower.split_whitespace().collect::<Vec<_>>().as_slice() {
        [OFF] => Ok(None),
        ["outputs", span] => {
            let outputs = time(span).map_err(|why| format!("{span:?} {why}"))?;
            Ok(Some(Retention { outputs }))
        }
        [span] if time(span).is_ok() => {
            Err(format!("says no kind of file: write `outputs {span}`"))
        }
        [word, span] if time(span).is_ok() => {
            Err(format!("{word:?} has no rule, only outputs have: write `outputs {span}`"))
        }
        _ => Err(format!("{text:?} is no rule: write `outputs 30d`, or `{OFF}`")),
    }
}

fn time(text: &str) -> Result<Millis, String> {
    let nearest = |text: &str| match text.parse::<Duration>() {
        Ok(span) if (SHORTEST..=LONGEST).contains(&span) => text.to_owned(),
        _ => "30d".to_owned(),
    };
    if let Some(rest) = text.strip_prefix('-') {
        let nearest = nearest(rest);
        return Err(format!("counts from a job's end and has no sign: write `outputs {nearest}`"));
    }
    if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) {
        let nearest = nearest(&format!("{text}d"));
        return Err(format!("has no unit: write `outputs {nearest}`"));
    }
    let span: Duration = text
        .parse()
        .map_err(|_| "is no time with its unit, d, h, m or s: write `outputs 30d`".to_owned())?;
    if span < SHORTEST {
        return Err("is less than a second: write `outputs 1s` or more".into());
    }
    if span > LONGEST {
        return Err(format!("is more than a hundred years: `{OFF}` keeps everything"));
    }
    Ok(Millis(u64::try_from(span.as_millis()).expect("a hundred years")))
}

/// As it is written.
pub fn text(rule: Option<Retention>) -> String {
    rule.map_or_else(|| OFF.to_owned(), |it| format!("outputs {}", span(it)))
}

fn span(rule: Retention) -> Duration {
    std::time::Duration::from_millis(rule.outputs.0).into()
}

/// What it removes, as a filter of jobs.
pub fn due(rule: Retention) -> String {
    format!("outputs=kept and ended<-{} and tags.{KEEP} not exists", span(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for (written, ms) in
            [("outputs 30d", 30 * 86_400_000), ("outputs 1d12h", 129_600_000), ("outputs 1s", 1000)]
        {
            let rule = parse(written).unwrap();
            assert_eq!(rule, Some(Retention { outputs: Millis(ms) }));
            assert_eq!(text(rule), written);
        }
        assert_eq!(parse(" Outputs  90M ").map(text), Ok("outputs 1h30m".into()));
        assert_eq!(parse("OFF"), Ok(None));
        assert_eq!(text(None), "off");
        let rule = Retention { outputs: Millis(90_000) };
        assert_eq!(due(rule), "outputs=kept and ended<-1m30s and tags.keep not exists");
    }

    #[test]
    fn what_is_no_rule_gets_the_nearest_one() {
        for (text, why) in [
            ("outputs 30", r#""30" has no unit: write `outputs 30d`"#),
            ("output 30d", r#""output" has no rule, only outputs have: write `outputs 30d`"#),
            ("30d", "says no kind of file: write `outputs 30d`"),
            ("outputs -7d", r#""-7d" counts from a job's end and has no sign: write `outputs 7d`"#),
            ("outputs 0d", r#""0d" is less than a second: write `outputs 1s` or more"#),
            (
                "outputs 99999999d",
                r#""99999999d" is more than a hundred years: `off` keeps everything"#,
            ),
            ("outputs 99999999", r#""99999999" has no unit: write `outputs 30d`"#),
            ("outputs 4w", r#""4w" is no time with its unit, d, h, m or s: write `outputs 30d`"#),
            (
                "outputs 99999999999999999999d",
                r#""99999999999999999999d" is no time with its unit, d, h, m or s: write `outputs 30d`"#,
            ),
            ("outputs", r#""outputs" is no rule: write `outputs 30d`, or `off`"#),
            ("", r#""" is no rule: write `outputs 30d`, or `off`"#),
            ("outputs 30d keep", r#""outputs 30d keep" is no rule: write `outputs 30d`, or `off`"#),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()));
        }
    }
}
