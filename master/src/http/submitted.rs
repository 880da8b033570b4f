//! What a submission is made of, and its way to the service layer.

use std::collections::BTreeMap;

use atlas_proto::wire;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An uploaded bundle, with what it measures.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// SHA-256 of the canonical tar, 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    id: String,
    tar_bytes: u64,
    /// Files, folders and links.
    files: u64,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SubmittedGit")]
pub struct Git {
    commit: String,
    #[serde(default)]
    branch: String,
    #[serde(default)]
    dirty: bool,
}

/// What is said here wins over job.config.yaml.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    command: Vec<String>,
    project: Option<String>,
    name: Option<String>,
    tags: BTreeMap<String, String>,
    note: Option<String>,
    /// Split as a shell would.
    entrypoint: Option<String>,
    num_gpus: Option<Quantity>,
    cpus: Option<Quantity>,
    ram_gb: Option<Quantity>,
    shm_gb: Option<Quantity>,
    /// Seconds, or a text such as `90s`, `30m`, `1h30m`, `2d`.
    time_limit: Option<Quantity>,
    image: Option<String>,
    env: BTreeMap<String, String>,
    /// `HOST:PATH` or `HOST:PATH:ro`.
    volumes: Vec<String>,
    /// An object; it reaches the job as it is here.
    params: Option<Params>,
    wait_for_capacity: bool,
    fresh_requirements: bool,
}

/// A JSON object, kept as it was written: numbers of any size and form.
#[derive(Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub struct Params(Box<RawValue>);

impl Params {
    pub fn text(self) -> String {
        self.0.get().to_owned()
    }
}

impl TryFrom<Box<RawValue>> for Params {
    type Error = &'static str;

    fn try_from(value: Box<RawValue>) -> Result<Self, &'static str> {
        if value.get().starts_with('{') { Ok(Self(value)) } else { Err("params are an object") }
    }
}

impl JsonSchema for Params {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Params".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

/// A number, or a text that is one: who typed it hears of a mistake in their own words.
#[derive(Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct Quantity(String);

impl Quantity {
    pub fn text(self) -> String {
        self.0
    }
}

impl TryFrom<serde_json::Value> for Quantity {
    type Error = &'static str;

    fn try_from(value: serde_json::Value) -> Result<Self, &'static str> {
        match value {
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            serde_json::Value::String(text) => Ok(Self(text)),
            _ => Err("a quantity is a number"),
        }
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"] })
    }
}

impl From<Bundle> for wire::Bundle {
    fn from(bundle: Bundle) -> Self {
        let Bundle { id, tar_bytes, files } = bundle;
        Self { id, tar_bytes, files }
    }
}

impl From<Git> for wire::Git {
    fn from(git: Git) -> Self {
        let Git { commit, branch, dirty } = git;
        Self { commit, branch, dirty, diff: None }
    }
}

impl From<Overrides> for wire::JobOverrides {
    fn from(overrides: Overrides) -> Self {
        let Overrides {
            command,
            project,
            name,
            tags,
            note,
            entrypoint,
            num_gpus,
            cpus,
            ram_gb,
            shm_gb,
            time_limit,
            image,
            env,
            volumes,
            params,
            wait_for_capacity,
            fresh_requirements,
        } = overrides;
        let typed = |it: Option<Quantity>| it.map(Quantity::text);
        Self {
            command,
            project,
            name,
            tags,
            note,
            entrypoint,
            num_gpus: typed(num_gpus),
            cpus: typed(cpus),
            ram_gb: typed(ram_gb),
            shm_gb: typed(shm_gb),
            time_limit: typed(time_limit),
            image,
            env,
            volumes,
            params_json: params.map(Params::text),
            wait_for_capacity,
            fresh_requirements,
        }
    }
}
