//! Bundles come in, in pieces that resume.

use aide::OperationInput;
use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use aide::generate::GenContext;
use aide::openapi::Operation;
use atlas_core::{BundleId, Identity};
use atlas_proto::CHUNK;
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Path, Query, Who, octets};
use super::error::{Code, Problem};
use crate::service::{Error, Upload};

#[derive(Deserialize, JsonSchema)]
struct UploadPath {
    /// SHA-256 of the canonical tar, 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    bundle: String,
    /// A random name that the client chooses for its upload, and keeps over its tries: 1 to 64 letters, digits and dashes.
    #[schemars(regex(pattern = "^[0-9A-Za-z-]{1,64}$"))]
    upload: String,
}

#[derive(Deserialize, JsonSchema)]
struct BeginQuery {
    /// Compressed bytes that are to come, if they are known: too many are refused here.
    bytes: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
struct PieceQuery {
    /// Where in the compressed file the body begins.
    offset: u64,
}

/// How far an upload is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UploadProgress")]
struct Progress {
    /// Nothing is to be sent: the bundle is there, and stays for an hour at least.
    known: bool,
    /// Bytes that came: the next one to send.
    offset: u64,
}

/// A bundle that is there from now on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UploadedBundle")]
struct Whole {
    id: String,
    /// Compressed, as it is stored.
    bytes: u64,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/bundles/{bundle}/uploads/{upload}",
            post_with(begin, |it| {
                let what = "Begins an upload, or says how far it is";
                it.id("begin_upload").summary(what).tag("bundles")
            })
            .patch_with(append, |it| {
                let what = "Appends to an upload: zstd or gzip of the canonical tar, in pieces of any size";
                it.id("append_to_upload").summary(what).tag("bundles")
            }),
        )
        .api_route(
            "/bundles/{bundle}/uploads/{upload}/finish",
            post_with(finish, |it| {
                let what = "Verifies an upload that is whole; jobs may refer to the bundle then";
                it.id("finish_upload").summary(what).tag("bundles")
            }),
        )
}

async fn begin(
    State(app): State<App>,
    Who(who): Who,
    Path(path): Path<UploadPath>,
    Query(BeginQuery { bytes }): Query<BeginQuery>,
) -> Result<Json<Progress>, Problem> {
    let upload = path.upload()?;
    let offset = app.service.find_bundle(&who, upload, bytes.unwrap_or_default()).await?;
    Ok(Json(Progress { known: offset.is_none(), offset: offset.unwrap_or_default() }))
}

async fn append(
    State(app): State<App>,
    Who(who): Who,
    Path(path): Path<UploadPath>,
    Query(PieceQuery { offset }): Query<PieceQuery>,
    Piece(body): Piece,
) -> Result<Json<Progress>, Problem> {
    let offset = write(&app, &who, &path.upload()?, offset, body.into_data_stream()).await?;
    Ok(Json(Progress { known: false, offset }))
}

/// What came before a connection broke off is kept: the upload goes on behind it.
async fn write(
    app: &App,
    who: &Identity,
    upload: &Upload,
    mut offset: u64,
    mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
) -> Result<u64, Problem> {
    let mut gathered = BytesMut::new();
    loop {
        let piece = body.next().await;
        let ends = !matches!(piece, Some(Ok(_)));
        if let Some(Ok(piece)) = &piece {
            gathered.extend_from_slice(piece);
        }
        if ends || gathered.len() >= CHUNK {
            let data = gathered.split().freeze();
            offset = app.service.write_bundle(who, upload, offset, data).await?;
        }
        match piece {
            Some(Ok(_)) => {}
            None => return Ok(offset),
            Some(Err(error)) => {
                let why = format!("the body broke off: {error}; go on at byte {offset}");
                return Err(Problem::new(Code::Invalid, why));
            }
        }
    }
}

async fn finish(
    State(app): State<App>,
    Who(who): Who,
    Path(path): Path<UploadPath>,
    _: Query<()>,
) -> Result<Json<Whole>, Problem> {
    let upload = path.upload()?;
    let bytes = app.service.finish_bundle(&who, &upload).await?;
    Ok(Json(Whole { id: upload.bundle.to_string(), bytes }))
}

impl UploadPath {
    fn upload(self) -> Result<Upload, Problem> {
        let bundle: BundleId = self
            .bundle
            .parse()
            .map_err(|why: atlas_core::id::Invalid| Error::invalid("bundle", why.to_string()))?;
        Ok(Upload { bundle, token: self.upload })
    }
}

/// A body of any size, as it comes.
struct Piece(axum::body::Body);

impl<S: Sync> FromRequest<S> for Piece {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(request.into_body()))
    }
}

impl OperationInput for Piece {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        octets(ctx, operation);
    }
}
