//! Version 1 of the API: every route, and the document that describes them, made from the handlers' signatures.

use aide::axum::ApiRouter;
use aide::openapi::{OpenApi, SecurityScheme};
use aide::transform::TransformOpenApi;
use atlas_proto::MAX_MESSAGE;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;

use super::{
    App, answer, bundles, events, files, found, incoming, jobs, log, nodes, notes, projects, queue,
    runs, submit, told, usage, version,
};

const PREFIX: &str = "/api/v1";

pub fn routes() -> Router<App> {
    let (routes, document) = built();
    let document = Bytes::from(as_text(&document));
    let path = format!("{PREFIX}/openapi.json");
    let described = async move || {
        ([(header::CONTENT_TYPE, "application/json")], answer::tagged(document)).into_response()
    };
    routes
        .route(&path, get(described))
        .layer(axum::middleware::from_fn(answer::unless_known))
        .layer(answer::compression())
        .layer(DefaultBodyLimit::max(MAX_MESSAGE))
}

/// The document as it is served, and as it stands in `docs/openapi.json`.
fn as_text(document: &OpenApi) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("its keys are texts");
    text.push('\n');
    text
}

fn built() -> (Router<App>, OpenApi) {
    let mut document = OpenApi::default();
    let resources = ApiRouter::new()
        .merge(version::routes())
        .merge(jobs::routes())
        .merge(log::routes())
        .merge(files::routes())
        .merge(submit::routes())
        .merge(bundles::routes())
        .merge(runs::routes())
        .merge(found::routes())
        .merge(incoming::routes())
        .merge(told::routes())
        .merge(queue::routes())
        .merge(projects::routes())
        .merge(notes::routes())
        .merge(usage::routes())
        .merge(nodes::routes())
        .merge(events::routes());
    let routes = ApiRouter::new().nest(PREFIX, resources).finish_api_with(&mut document, described);
    // What is behind a star takes slashes, too; a document has no word for that.
    let paths = document.paths.iter_mut().flat_map(|it| std::mem::take(&mut it.paths));
    let plain: Vec<_> = paths.map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document.paths.get_or_insert_default().paths.extend(plain);
    (routes, document)
}

fn described(document: TransformOpenApi<'_>) -> TransformOpenApi<'_> {
    let token = SecurityScheme::Http {
        scheme: "bearer".into(),
        bearer_format: None,
        description: Some("ATLAS_TOKEN of a job that runs".into()),
        extensions: Default::default(),
    };
    document
        .title("Atlas")
        .version("1")
        .description(
            "The API of an Atlas master. Times are milliseconds since 1970 (UTC) and end in `_ms`, sizes are bytes and end in \
             `_bytes`. Whoever changes something says who they are: the header `x-atlas-user`, or a job's token.",
        )
        .security_scheme("job_token", token)
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_document_in_docs_is_what_the_handlers_say() {
        let text = as_text(&built().1);
        expect_file!["../../../docs/openapi.json"].assert_eq(&text);
    }
}
