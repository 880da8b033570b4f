//! Who sent a request, before anybody looks at what it asks for: a job shows its token, everybody else says a name.
//!
//! **Invariant:** whoever shows a token that does not count is refused, and never taken for somebody without one.

pub mod host;
pub mod keys;
pub mod seal;
pub mod token;
pub mod tunnel;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::host::Names;
use crate::grpc;
use crate::http::Problem;
use crate::service::{Error, Service, Unauthenticated};
use atlas_core::Identity;

/// One way in.
#[derive(Clone)]
pub struct Edge {
    pub service: Arc<Service>,
    pub names: Names,
    /// Only jobs come this way, and they must show their token: what reaches a master on loopback through a node would
    /// otherwise be anybody it says it is.
    pub jobs_only: bool,
}

/// Who sent a request: whom its token speaks for, else, without accounts, who the client says it is.
pub fn identity(extensions: &Extensions, said: Option<&str>) -> Identity {
    if let Some(who) = extensions.get::<Identity>() {
        return who.clone();
    }
    let user = said.unwrap_or_default().chars().filter(|it| !it.is_control());
    Identity::unverified(user.take(64).collect::<String>())
}

/// Puts the identity that a token proves beside the request.
pub async fn authenticate(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    match edge.identify(request.headers()).await {
        Ok(Some(who)) => drop(request.extensions_mut().insert(who)),
        // A page in somebody's browser has no token.
        Ok(None) => {
            if let Err(error) = edge.names.check(&request) {
                return refusal(request.headers(), error);
            }
        }
        Err(error) => return refusal(request.headers(), error),
    }
    next.run(request).await
}

impl Edge {
    /// `None` = no token was shown.
    async fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, Error> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        match (shown.next(), shown.next()) {
            (None, _) if self.jobs_only => Err(Unauthenticated::Missing.into()),
            (None, _) => Ok(None),
            (Some(one), None) => {
                let token = one.to_str().ok().and_then(bearer).ok_or(Unauthenticated::Unknown)?;
                Ok(Some(self.service.holder(token).await?))
            }
            (Some(_), Some(_)) => Err(Unauthenticated::Unknown.into()),
        }
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// In the words of the protocol that was asked in.
fn refusal(headers: &HeaderMap, error: Error) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(|it| it.as_bytes()).unwrap_or_default();
    if kind.starts_with(b"application/grpc") {
        grpc::status(&error).into_http()
    } else {
        Problem::from(error).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_what_follows_its_scheme() {
        assert_eq!(bearer("Bearer atlas_job_x"), Some("atlas_job_x"));
        assert_eq!(bearer("bearer  atlas_job_x"), Some("atlas_job_x"));
        for other in ["", "Bearer", "atlas_job_x", "Basic YTpi"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_refusal_is_said_in_the_words_of_who_asked() {
        let error = || Error::from(Unauthenticated::Missing);
        let mut headers = HeaderMap::new();
        let plain = refusal(&headers, error());
        assert_eq!(plain.status(), 401);
        assert_eq!(plain.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(plain.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        headers.insert(header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
        let grpc = refusal(&headers, error());
        assert_eq!((grpc.status().as_u16(), &grpc.headers()["grpc-status"] == "16"), (200, true));
    }
}
