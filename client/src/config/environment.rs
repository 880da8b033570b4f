//! Which master the environment names: a job finds its own there, and shows its token to no other.

use atlas_runtime::config::Secret;

use super::{Config, Error, file, variable};

const URL: &str = "ATLAS_URL";
const TOKEN: &str = "ATLAS_TOKEN";

/// What the variables say.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub config: Option<String>,
    pub url: Option<String>,
    pub token: Option<Secret<String>>,
}

impl Environment {
    pub fn of_process() -> Self {
        Self {
            config: variable("ATLAS_CONFIG"),
            url: variable(URL),
            token: variable(TOKEN).map(Secret::new),
        }
    }

    /// The master that needs no file: that of `ATLAS_URL`, else the one of this machine.
    pub fn master(&self) -> Result<Config, Error> {
        let Some(url) = &self.url else { return Ok(Config::default()) };
        let wrong = |why| Error::Variable { name: URL, why };
        let (url, moved) = file::address(url.trim_end_matches('/')).map_err(wrong)?;
        let header = |it: &Secret<String>| it.expose().bytes().all(|it| it.is_ascii_graphic());
        if self.token.as_ref().is_some_and(|it| !header(it)) {
            let why = "holds characters that no token has; it is not shown here".into();
            return Err(Error::Variable { name: TOKEN, why });
        }
        let notices = moved.then(|| format!("{URL} {}", file::MOVED)).into_iter().collect();
        Ok(Config { url, token: self.token.clone(), notices })
    }
}
