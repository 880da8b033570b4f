//! Logins for registries, from where `docker login` keeps them: what `--registry-config` names, else `$DOCKER_CONFIG/config.json`,
//! else `~/.docker/config.json`. Read for every pull, so that a new login counts at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How Docker calls its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
const LONGEST_CONFIG: u64 = 1 << 20;
const HELPER_ANSWERS: Duration = Duration::from_secs(20);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    auths: HashMap<String, Auth>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Where a node's logins are.
#[derive(Clone, Debug)]
pub(super) struct Logins {
    file: Option<PathBuf>,
}

impl Logins {
    /// Those of the file that was named, else those of whoever the agent is.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file: file.or_else(default_file) }
    }

    /// The login for the registry of this image, if there is one. What cannot be read is said and counts as none: many images
    /// need no login.
    pub(super) async fn of(&self, image: &str) -> Option<DockerCredentials> {
        of(self.file.as_deref()?, image).await
    }
}

async fn of(path: &Path, image: &str) -> Option<DockerCredentials> {
    let config = match read(path).await {
        Ok(config) => config?,
        Err(why) => {
            tracing::warn!("logins of registries are not used: {}: {why}", path.display());
            return None;
        }
    };
    let registry = registry(image);
    let helper = config.helpers.get(registry).or(config.store.as_ref());
    if let Some(helper) = helper {
        match ask(helper, registry).await {
            Ok(answer) => return answer.map(|it| login(registry, it.username, it.secret)),
            Err(why) => tracing::warn!("docker-credential-{helper} did not give a login: {why}"),
        }
    }
    of_config(&config, registry)
}

fn default_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder =
        folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(folder.join("config.json"))
}

async fn read(path: &Path) -> Result<Option<Config>, String> {
    let meta = match tokio::fs::metadata(path).await {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if meta.len() > LONGEST_CONFIG {
        return Err("it is too long".into());
    }
    let text = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    // The reason would quote what is in it.
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|_| "it is not what `docker login` writes".into())
}

fn of_config(config: &Config, registry: &str) -> Option<DockerCredentials> {
    let host = |key: &str| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        key.split('/').next().unwrap_or_default().to_owned()
    };
    let found = config.auths.get(registry).or_else(|| {
        let (_, auth) = config.auths.iter().find(|(key, _)| host(key) == host(registry))?;
        Some(auth)
    })?;
    let decoded = STANDARD.decode(found.auth.as_deref().unwrap_or_default()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':').unwrap_or_default();
    match (&found.identitytoken, name) {
        (Some(token), _) if !token.is_empty() => Some(DockerCredentials {
            identitytoken: Some(token.clone()),
            serveraddress: Some(registry.to_owned()),
            ..Default::default()
        }),
        (_, "") => None,
        (_, name) => Some(login(registry, name.to_owned(), password.to_owned())),
    }
}

/// `None` = the helper knows no login for this registry.
async fn ask(helper: &str, registry: &str) -> Result<Option<Answer>, String> {
    let plain = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    if !helper.chars().all(plain) {
        return Err("that is no name of a program".into());
    }
    let failed = |error: std::io::Error| error.to_string();
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().expect("it was asked for as a pipe");
    stdin.write_all(registry.as_bytes()).await.map_err(failed)?;
    drop(stdin);
    let output = tokio::time::timeout(HELPER_ANSWERS, child.wait_with_output())
        .await
        .map_err(|_| "it did not answer in time".to_owned())?
        .map_err(failed)?;
    if !output.status.success() {
        return Ok(None);
    }
    let answer = serde_json::from_slice(&output.stdout);
    answer.map(Some).map_err(|_| "its answer is not what helpers say".to_owned())
}

fn login(registry: &str, username: String, password: String) -> DockerCredentials {
    // Helpers say so when the secret is no password.
    let (username, password, token) = match username.as_str() {
        "<token>" => (None, None, Some(password)),
        _ => (Some(username), Some(password), None),
    };
    DockerCredentials {
        username,
        password,
        identitytoken: token,
        serveraddress: Some(registry.to_owned()),
        ..Default::default()
    }
}

/// The registry in an image's name; without one it is Docker's own.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => DOCKER_HUB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_that_looks_like_a_host() {
        assert_eq!(registry("registry:5000/a/b:1"), "registry:5000");
        assert_eq!(registry("ghcr.example/a"), "ghcr.example");
        assert_eq!(registry("localhost/a"), "localhost");
        assert_eq!(registry("atlas/worker:latest"), DOCKER_HUB);
        assert_eq!(registry("ubuntu"), DOCKER_HUB);
    }

    #[test]
    fn logins_are_found_by_host_however_they_were_written_down() {
        let auth = STANDARD.encode("ada:pass:word");
        let text = format!(
            r#"{{"auths": {{"https://one.example/v2/": {{"auth": "{auth}"}}, "two.example": {{}}}}}}"#
        );
        let config: Config = serde_json::from_str(&text).unwrap();
        let found = of_config(&config, "one.example").unwrap();
        assert_eq!(found.username.as_deref(), Some("ada"));
        assert_eq!(found.password.as_deref(), Some("pass:word"));
        assert!(of_config(&config, "two.example").is_none());
        assert!(of_config(&config, DOCKER_HUB).is_none());
    }
}
