//! Bundles over gRPC.

use std::sync::Arc;

use atlas_core::BundleId;
use atlas_proto::wire::{self, upload_bundle_request::Part};
use tonic::{Request, Response, Status, Streaming};

use super::identity;
use super::status::status;
use crate::service::{Error, Service, Upload};

pub async fn find(
    service: &Arc<Service>,
    request: Request<wire::FindBundleRequest>,
) -> Result<Response<wire::FindBundleReply>, Status> {
    let who = identity(&request);
    let wire::FindBundleRequest { bundle, upload, bytes } = request.into_inner();
    let upload = parse(&bundle, upload)?;
    let offset = service.find_bundle(&who, upload, bytes).await.map_err(|it| status(&it))?;
    Ok(Response::new(wire::FindBundleReply {
        known: offset.is_none(),
        offset: offset.unwrap_or_default(),
    }))
}

pub async fn upload(
    service: &Arc<Service>,
    request: Request<Streaming<wire::UploadBundleRequest>>,
) -> Result<Response<wire::UploadBundleReply>, Status> {
    let who = identity(&request);
    let mut parts = request.into_inner();
    let first = parts.message().await?.and_then(|it| it.part);
    let Some(Part::Start(wire::UploadStart { bundle, upload, mut offset, bytes: _ })) = first
    else {
        return Err(Status::invalid_argument("the first message of an upload names its bundle"));
    };
    let upload = parse(&bundle, upload)?;
    while let Some(message) = parts.message().await? {
        let Some(Part::Data(data)) = message.part else {
            return Err(Status::invalid_argument(
                "every message of an upload but the first carries bytes",
            ));
        };
        offset =
            service.write_bundle(&who, &upload, offset, data).await.map_err(|it| status(&it))?;
    }
    let bytes = service.finish_bundle(&who, &upload).await.map_err(|it| status(&it))?;
    Ok(Response::new(wire::UploadBundleReply { bytes }))
}

fn parse(bundle: &str, token: String) -> Result<Upload, Status> {
    let id: Result<BundleId, _> = bundle.parse();
    match id {
        Ok(bundle) => Ok(Upload { bundle, token }),
        Err(why) => Err(status(&Error::invalid("bundle", why.to_string()))),
    }
}
