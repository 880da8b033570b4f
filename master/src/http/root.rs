//! What a browser finds at the address that `atlas up` prints: there is no dashboard yet, and where to look instead.

use axum::response::Html;

pub async fn page() -> Html<String> {
    let version = crate::VERSION;
    Html(format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Atlas</title>
<body>
<h1>Atlas {version}</h1>
<p>This is the master of an Atlas cluster, and it serves. It has no dashboard yet. What it knows as JSON:</p>
<ul>
<li><a href="/api/v1/jobs">/api/v1/jobs</a> and /api/v1/jobs/JOB: jobs, newest first (<code>atlas jobs</code>, <code>atlas show JOB</code>)</li>
<li><a href="/api/v1/queue">/api/v1/queue</a>: what waits, and why (<code>atlas queue</code>)</li>
<li><a href="/api/v1/nodes">/api/v1/nodes</a>: the machines (<code>atlas nodes</code>)</li>
<li><a href="/api/v1/openapi.json">/api/v1/openapi.json</a>: all that the API takes and gives</li>
</ul>
<p>For programs that watch it: <a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>, <a href="/metrics">/metrics</a>.</p>
</body>
</html>
"#
    ))
}
