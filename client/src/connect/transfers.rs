//! Jobs from and to other clusters.

use atlas_proto::wire;
use futures::Stream;
use tonic::{Response, Status, Streaming};

use super::{Error, Master, Transfers, reference};

impl Master {
    /// Bringing its points into one file may take longer than an answer is waited for.
    pub async fn export_job(&self, job: &str) -> Result<wire::ExportJobReply, Error> {
        self.until_answered(async |mut transfers| transfers.export_job(reference(job)).await).await
    }

    /// The compressed tar from `offset` on.
    pub async fn read_bundle(
        &self,
        bundle: String,
        offset: u64,
    ) -> Result<Streaming<wire::FilesChunk>, Error> {
        let mut transfers = self.transfers.clone();
        self.unary(transfers.read_bundle(wire::FetchBundleRequest { bundle, offset })).await
    }

    /// Begins with one that says what of which job comes.
    pub async fn import_files(
        &self,
        requests: impl Stream<Item = wire::ShipRequest> + Send + 'static,
    ) -> Result<Streaming<wire::ShipReply>, Error> {
        let mut transfers = self.transfers.clone();
        self.unary(transfers.import_files(requests)).await
    }

    /// Whether the job was there already. The same again is the same.
    pub async fn import_job(&self, request: &wire::ImportJobRequest) -> Result<bool, Error> {
        let import = async |mut transfers: Transfers| transfers.import_job(request.clone()).await;
        Ok(self.until_answered(import).await?.known)
    }

    /// Whether what was written of the project was taken.
    pub async fn import_project(
        &self,
        request: &wire::ImportProjectRequest,
    ) -> Result<bool, Error> {
        let import =
            async |mut transfers: Transfers| transfers.import_project(request.clone()).await;
        Ok(self.until_answered(import).await?.taken)
    }

    async fn until_answered<T>(
        &self,
        ask: impl AsyncFn(Transfers) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let mut patience = self.patience();
        loop {
            match self.unary(ask(self.transfers.clone())).await {
                Err(error) => patience.wait(error).await?,
                Ok(reply) => return Ok(reply),
            }
        }
    }
}
