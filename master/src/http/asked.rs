//! What handlers are given of a request, checked. Every refusal is a [`Problem`] that names the field.

use std::convert::Infallible;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, ParameterSchemaOrContent, RequestBody};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema, set_body};
use atlas_core::Identity;
use atlas_runtime::config::nearest;
use atlas_runtime::telemetry::TraceParent;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor, value};
use serde_json::Value;

use super::error::{Code, Problem};
use crate::edge;
use crate::service::Error;

/// The most things of one page, and how many it has if nobody says.
const MOST: u32 = 1000;
const USUAL: u32 = 100;
/// A random UUID, as a document says it.
pub const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";

/// The keys behind the `?`: each known, each once.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let invalid = |why: String| Problem::from(Error::invalid("query", why));
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let axum::extract::Query(pairs) = pairs.map_err(|it| invalid(it.body_text()))?;
        let known = fields::<T>();
        for (at, (key, _)) in pairs.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                return Err(invalid(unknown(key, known)));
            }
            if pairs[..at].iter().any(|(before, _)| before == key) {
                return Err(invalid(format!("{key} is said twice")));
            }
        }
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(query) = query.map_err(|it| {
            let why = it.body_text();
            invalid(why.rsplit_once("query string: ").map_or(&*why, |it| it.1).to_owned())
        })?;
        Ok(Self(query))
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        parameters::<T>(ctx, operation, ParamLocation::Query);
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let key = format!("{:?}", key.chars().take(60).collect::<String>());
    match (nearest(key.trim_matches('"'), known.iter().copied()), known) {
        (Some(near), _) => format!("{key} is not known here; did you mean {near}?"),
        (None, []) => format!("{key} is not known here: nothing can be asked for this way"),
        (None, known) => format!("{key} is not known here; known are {}", known.join(", ")),
    }
}

/// The part of the path that names something.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Error::invalid("path", rejection.body_text()).into()),
        }
    }
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        parameters::<T>(ctx, operation, ParamLocation::Path);
    }
}

/// The body, as JSON.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let essence = kind.map(|it| it.split(';').next().unwrap_or_default().trim());
        if !essence.is_some_and(|it| it.eq_ignore_ascii_case("application/json")) {
            let why = "the body has to be JSON: `content-type: application/json`";
            return Err(Problem::new(Code::UnsupportedBody, why));
        }
        let body = whole(request, state).await?;
        let parsed = serde_json::from_slice(&body);
        parsed.map(Self).map_err(|why| Error::invalid("body", why.to_string()).into())
    }
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        axum::Json::<T>::operation_input(ctx, operation);
    }
}

/// A body of bytes that has an end.
pub struct Octets(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Octets {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        whole(request, state).await.map(Self)
    }
}

impl OperationInput for Octets {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        octets(ctx, operation);
    }
}

/// Describes a body of bytes.
pub fn octets(ctx: &mut GenContext, operation: &mut Operation) {
    let content = [("application/octet-stream".to_owned(), MediaType::default())];
    let body = RequestBody {
        description: Some("The bytes from `offset` on.".into()),
        content: content.into_iter().collect(),
        required: true,
        ..Default::default()
    };
    set_body(ctx, operation, body);
}

async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let code = match rejection.status() {
            axum::http::StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
            _ => Code::Invalid,
        };
        Problem::new(code, rejection.body_text())
    })
}

/// Who asks.
pub struct Who(pub Identity);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let said = parts.headers.get(atlas_proto::USER_HEADER).and_then(|it| it.to_str().ok());
        Ok(Self(edge::identity(&parts.extensions, said)))
    }
}

#[derive(JsonSchema)]
struct UserHeader {
    /// The login name of who asks. Not needed beside a job's token, which says it.
    #[serde(rename = "x-atlas-user")]
    #[expect(dead_code, reason = "it describes the header that `edge::identity` reads")]
    user: Option<String>,
}

impl OperationInput for Who {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        parameters::<UserHeader>(ctx, operation, ParamLocation::Header);
    }
}

/// Describes the fields of a struct as parameters: one that may be absent is not required, and never `null`.
fn parameters<T: JsonSchema>(ctx: &mut GenContext, operation: &mut Operation, at: ParamLocation) {
    let schema = T::json_schema(&mut ctx.schema);
    let mut parameters = parameters_from_schema(ctx, schema, at);
    for parameter in &mut parameters {
        if let ParameterSchemaOrContent::Schema(schema) = &mut parameter.parameter_data_mut().format
        {
            without_null(&mut schema.json_schema);
        }
    }
    add_parameters(ctx, operation, parameters);
}

fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("description");
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|it| it != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(kinds)) = object.get_mut("anyOf") {
        kinds.retain(|it| it["type"] != "null");
        if let [Value::Object(one)] = kinds.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            object.extend(one);
        }
    }
}

/// The trace that the request is part of.
pub struct Traced(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(TraceParent::from_headers(&parts.headers).map(|it| it.to_string())))
    }
}

impl OperationInput for Traced {}

/// How many things of a listing come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(u32);

impl Limit {
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if (1..=MOST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(format!("{number} is not between 1 and {MOST}"))
        }
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL })
    }
}

/// The names of a struct's fields, as `Deserialize` asks for them.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names = Names(&[]);
    // It takes the names and goes no further.
    drop(T::deserialize(&mut names));
    names.0
}

struct Names(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut Names {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(serde::de::Error::custom("only a struct has fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its names are asked for")]
    struct Three {
        project: String,
        limit: Option<Limit>,
        cursor: String,
    }

    #[test]
    fn a_key_that_is_not_known_is_answered_with_the_nearest() {
        let known = fields::<Three>();
        assert_eq!(known, ["project", "limit", "cursor"]);
        assert_eq!(
            unknown("porject", known),
            r#""porject" is not known here; did you mean project?"#
        );
        assert!(unknown("x\u{1b}", known).ends_with("known are project, limit, cursor"));
        assert!(unknown("x", &[]).ends_with("nothing can be asked for this way"));
    }
}
