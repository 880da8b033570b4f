//! The parameters that a job was submitted with, as it logs them itself once it loads them: flat.

use atlas_core::JobSpec;
use atlas_core::run::{Value, limits};

/// Empty where there are none.
pub fn of(spec: &JobSpec) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    let given = spec.params.as_deref().and_then(|it| serde_json::from_str(it).ok());
    if let Some(Value::Map(params)) = given {
        for (key, value) in params {
            flatten(key, value, &mut flat);
        }
    }
    flat
}

/// `{"a": {"b": [1]}}` becomes `a_b_0`; what is empty is null. What is beyond the limits of a run is none of its parameters.
fn flatten(key: String, value: Value, flat: &mut Vec<(String, Value)>) {
    if key.is_empty() || key.len() > limits::KEY || flat.len() >= limits::PARAMS {
        return;
    }
    match value {
        Value::List(items) if !items.is_empty() => {
            for (at, item) in items.into_iter().enumerate() {
                flatten(format!("{key}_{at}"), item, flat);
            }
        }
        Value::Map(items) if !items.is_empty() => {
            for (nested, item) in items {
                flatten(format!("{key}_{nested}"), item, flat);
            }
        }
        Value::List(_) | Value::Map(_) => flat.push((key, Value::Null)),
        value => flat.push((key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn submitted_parameters_are_flat_as_logged_ones_are() {
        let params = |text: &str| {
            let spec = JobSpec { params: Some(text.into()), ..contract::spec() };
            let show = |(key, value): (String, Value)| {
                format!("{key}={}", serde_json::to_string(&value).unwrap())
            };
            of(&spec).into_iter().map(show).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            params(
                r#"{"nest": {"a": {"b": [1, {"c": 2.5}]}, "e": {}}, "l": [], "n": null, "x": "y"}"#
            ),
            r#"l=null n=null nest_a_b_0=1 nest_a_b_1_c=2.5 nest_e=null x="y""#
        );
        assert_eq!(params("[1]"), "");
        assert_eq!(params("{"), "");
        let many: Vec<_> = (0..6000).collect();
        let spec = JobSpec { params: Some(format!("{{\"a\": {many:?}}}")), ..contract::spec() };
        assert_eq!(of(&spec).len(), limits::PARAMS);
    }
}
