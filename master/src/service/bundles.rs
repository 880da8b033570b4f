//! Bundles travel once: asked for by hash first, sent in pieces that resume, verified before they have a name.

use std::sync::Arc;

use atlas_core::access::{Verb, allow};
use atlas_core::{BundleId, Identity};
use bytes::Bytes;

use super::{Error, Service, Source};
use crate::bundles::Measure;
use crate::turns::Turns;

/// One client's attempt to send one bundle; the token is its own, kept over its tries.
#[derive(Clone, Debug)]
pub struct Upload {
    pub bundle: BundleId,
    pub token: String,
}

impl Service {
    /// `None` = it is there, and pinned for an hour. Else the bytes of this upload that arrived so far.
    pub async fn find_bundle(
        &self,
        who: &Identity,
        upload: Upload,
        bytes: u64,
    ) -> Result<Option<u64>, Error> {
        allow(who, Verb::Submit)?;
        let bundles = self.bundles.clone();
        blocking(&self.storage.bundles, move || {
            if bundles.known(upload.bundle)?.is_some() {
                return Ok(None);
            }
            bundles.admit(bytes)?;
            Ok(Some(bundles.offset(upload.bundle, &upload.token)?))
        })
        .await
    }

    /// What a bundle measures, if a job may refer to it; it then stays for an hour at least.
    pub(super) async fn measure(&self, bundle: BundleId) -> Result<Option<Measure>, Error> {
        let bundles = self.bundles.clone();
        blocking(&self.storage.bundles, move || Ok(bundles.known(bundle)?.map(|it| it.measure)))
            .await
    }

    pub async fn write_bundle(
        &self,
        who: &Identity,
        upload: &Upload,
        offset: u64,
        data: Bytes,
    ) -> Result<u64, Error> {
        allow(who, Verb::Submit)?;
        let (bundles, upload) = (self.bundles.clone(), upload.clone());
        blocking(&self.storage.uploads, move || {
            Ok(bundles.write(upload.bundle, &upload.token, offset, &data)?)
        })
        .await
    }

    /// The bundle is whole: verified, and known under its hash from now on.
    pub async fn finish_bundle(&self, who: &Identity, upload: &Upload) -> Result<u64, Error> {
        allow(who, Verb::Submit)?;
        let (bundles, upload) = (self.bundles.clone(), upload.clone());
        blocking(&self.storage.verifications, move || {
            Ok(bundles.finish(upload.bundle, &upload.token)?)
        })
        .await
    }

    /// The compressed tar as it was sent: for a node without the shared storage, or another cluster.
    pub async fn open_bundle(self: &Arc<Self>, bundle: BundleId) -> Result<Source, Error> {
        let bundles = self.bundles.clone();
        blocking(&self.storage.fetches, move || {
            let (file, end) = bundles.open_file(bundle)?;
            Ok(Source { file, end })
        })
        .await
    }
}

impl Service {
    /// Removes bundles that no job has referred to for a day, and broken uploads.
    pub async fn sweep_bundles(&self) -> Result<(), Error> {
        let (bundles, store) = (self.bundles.clone(), self.store.clone());
        let asking = tokio::runtime::Handle::current();
        blocking(&self.storage.sweeps, move || {
            // What cannot be asked about is kept.
            let used = |id: &BundleId| asking.block_on(store.uses_bundle(*id)).unwrap_or(true);
            Ok(bundles.collect(used, std::time::SystemTime::now())?)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    turns: &Turns,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    turns.run(work).await.map_err(|it| Error::Unavailable(it.to_string()))?
}
