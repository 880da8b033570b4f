//! Pulling an image, with its progress in the log of the job that waits for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;

use super::error::Error;
use super::login;
use crate::logs::Prelude;

/// Lines of progress are at least so far apart.
const PACE: Duration = Duration::from_secs(2);
/// No image has so many layers.
const LAYERS: usize = 1000;

/// Pulls an image by its full name.
pub(super) async fn pull(
    engine: &bollard::Docker,
    name: &str,
    log: &mut Prelude,
) -> Result<(), Error> {
    let login = login::of(name).await;
    log.write(format!("Pulling image {name} ...\n").as_bytes())?;
    let options = CreateImageOptions { from_image: Some(name.to_owned()), ..Default::default() };
    let mut steps = std::pin::pin!(engine.create_image(Some(options), None, login));
    let mut progress = Progress::default();
    let mut said = Instant::now();
    while let Some(step) = steps.next().await {
        progress.take(step.map_err(|source| Error::pull(name, source))?);
        if said.elapsed() >= PACE {
            log.write(format!("Pulling image {name}: {}\n", progress.text()).as_bytes())?;
            said = Instant::now();
        }
    }
    log.write(format!("Image {name} is here.\n").as_bytes())?;
    Ok(())
}

/// How far the layers are.
#[derive(Default)]
struct Progress {
    /// Bytes so far and in all.
    layers: BTreeMap<String, (i64, i64)>,
}

impl Progress {
    fn take(&mut self, step: CreateImageInfo) {
        let (Some(layer), Some(detail)) = (step.id, step.progress_detail) else { return };
        let (Some(current), Some(total)) = (detail.current, detail.total) else { return };
        // Downloading counts, unpacking says the same numbers again.
        if step.status.as_deref() == Some("Downloading")
            && (self.layers.len() < LAYERS || self.layers.contains_key(&layer))
        {
            self.layers.insert(layer, (current, total));
        }
    }

    fn text(&self) -> String {
        let sum = |each: fn(&(i64, i64)) -> i64| {
            self.layers.values().map(each).fold(0_i64, i64::saturating_add) / 1_000_000
        };
        format!("{} of {} MB in {} layer(s)", sum(|it| it.0), sum(|it| it.1), self.layers.len())
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn step(layer: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        let detail = ProgressDetail { current: Some(current), total: Some(total) };
        CreateImageInfo {
            id: Some(layer.into()),
            status: Some(status.into()),
            progress_detail: Some(detail),
            ..Default::default()
        }
    }

    #[test]
    fn layers_are_added_up() {
        let mut progress = Progress::default();
        progress.take(step("a", "Downloading", 1_000_000, 9_000_000));
        progress.take(step("a", "Downloading", 5_000_000, 9_000_000));
        progress.take(step("b", "Downloading", 2_000_000, 3_000_000));
        progress.take(step("a", "Extracting", 1, 2));
        assert_eq!(progress.text(), "7 of 12 MB in 2 layer(s)");
    }
}
