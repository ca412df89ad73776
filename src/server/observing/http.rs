//! Connections, their limits, and which path is answered by what.
//!
//! Always true: a client that sends slowly, reads slowly, or says nothing holds one connection of a few, for a bounded
//! time; when there are too many, the one that has been there longest gives way.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::exposition::{self, Exposition};
use super::facts::{Facts, Readiness};
use super::{Watched, exporter, own, status};

/// Connections at the same time.
const CONNECTIONS_MAX: usize = 16;
/// So long a request may take to arrive, and a connection may be silent between two.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// So long a connection lasts; whoever comes back opens another.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Header lines of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of all of them, and of what is read ahead.
const HEADER_BYTES_MAX: usize = 16 << 10;

const PAGE: &str = include_str!("page.html");

const TEXT: &str = "text/plain; charset=utf-8";

/// The page runs its own script and style, asks this server alone, and nobody may frame it.
static PAGE_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let inside =
            PAGE.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(inside, _)| inside);
        BASE64.encode(Sha256::digest(inside.as_bytes()))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
});

/// Takes connections for as long as the server runs.
pub(super) async fn accept(listeners: &[TcpListener], watched: &Arc<Watched>) {
    // They end with this.
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match next(listeners).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!("a connection to metrics-port could not be accepted: {error}");
                // Without descriptors, accepting would fail over and over.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        connections.retain(|connection| !connection.is_finished());
        // Whoever gives way is gone before another is talked to: beside that one there are never more.
        while tasks.len() >= CONNECTIONS_MAX {
            if let Some(oldest) = connections.pop_front() {
                oldest.abort();
            }
            let _ = tasks.join_next().await;
        }
        connections.push_back(tasks.spawn(converse(stream, watched.clone())));
    }
}

/// The next connection to any of them.
async fn next(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

async fn converse(stream: TcpStream, watched: Arc<Watched>) {
    // Without it, what is sent may be held back for a moment, and nothing else is lost.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(watched.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // However it ended: there is nobody to tell.
        _ = connection.as_mut() => {}
        () = sleep(CONNECTION_TIME) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(HEADER_TIME, connection).await;
        }
    }
}

async fn answer(watched: Arc<Watched>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if !PATHS.contains(&path) {
        return Ok(respond(StatusCode::NOT_FOUND, TEXT, "there is nothing here; see / and /metrics\n"));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this port only tells: use GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    Ok(match path {
        "/" => page(),
        "/healthz" => respond(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => ready(Readiness::of(&watched.shared.node)),
        "/metrics" => made(move || metrics(&watched), exposition::CONTENT_TYPE).await,
        _ => {
            let since = since(request.uri().query().unwrap_or_default());
            made(move || status::json(&watched, since), "application/json").await
        }
    })
}

/// All there is.
const PATHS: [&str; 5] = ["/", "/healthz", "/readyz", "/metrics", "/status.json"];

/// Answers with what takes a while to make: clients are accepted and keys expire meanwhile.
async fn made(make: impl FnOnce() -> String + Send + 'static, kind: &'static str) -> Response<Full<Bytes>> {
    match tokio::task::spawn_blocking(make).await {
        Ok(text) => respond(StatusCode::OK, kind, text),
        Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer could not be made\n"),
    }
}

fn metrics(watched: &Watched) -> String {
    let (node, registry) = (&watched.shared.node, &watched.shared.registry);
    let facts = Facts::now(node, registry);
    let mut out = Exposition::default();
    exporter::write(&mut out, &facts, node, registry);
    own::write(&mut out, &facts, node);
    out.into_text()
}

fn ready(readiness: Readiness) -> Response<Full<Bytes>> {
    let code = if readiness == Readiness::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(code, TEXT, format!("{readiness}\n"))
}

fn page() -> Response<Full<Bytes>> {
    let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    if let Ok(policy) = HeaderValue::from_str(&PAGE_POLICY) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The moment in `since=`, in milliseconds since the Unix epoch; 0 where there is none.
fn since(query: &str) -> u64 {
    query.split('&').find_map(|pair| pair.strip_prefix("since=")?.parse().ok()).unwrap_or(0)
}

fn respond(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_query() {
        let cases =
            [("", 0), ("since=5", 5), ("a=1&since=7", 7), ("since=", 0), ("since=-1", 0), ("since=x&since=3", 3)];
        for (query, expected) in cases {
            assert_eq!(since(query), expected, "{query}");
        }
    }

    #[test]
    fn the_page_brings_all_it_needs() {
        assert_eq!(PAGE.matches("<script>").count(), 1);
        assert_eq!(PAGE.matches("<style>").count(), 1);
        for foreign in ["http:", "https:", "src=", "@import", "url(", " style=", " onclick", "<form", "<a "] {
            assert!(!PAGE.contains(foreign), "the page says {foreign}");
        }
        assert!(PAGE_POLICY.starts_with("default-src 'none'; script-src 'sha256-"), "{}", *PAGE_POLICY);
    }

    /// How much lighter one colour is than another, as the Web Content Accessibility Guidelines have it: 1 to 21.
    fn contrast(one: &str, other: &str) -> f64 {
        let light = |colour: &str| -> f64 {
            let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("a colour")) / 255.0;
            let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
            0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
        };
        let (one, other) = (light(one), light(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn what_is_written_and_drawn_can_be_told_from_what_is_behind_it() {
        assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 1e-9 && contrast("#777777", "#ffffff") < 4.5);
        let style = PAGE.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).expect("a style").0;
        let (light, dark) = style.split_once("prefers-color-scheme: dark").expect("a dark one");
        for (scheme, text) in [("light", light), ("dark", dark)] {
            let colour = |name: &str| {
                let (_, rest) =
                    text.split_once(&format!("--{name}: ")).unwrap_or_else(|| panic!("no {name} in {scheme}"));
                &rest[..7]
            };
            for name in ["ink", "quiet"] {
                for behind in ["page", "card"] {
                    let found = contrast(colour(name), colour(behind));
                    assert!(found >= 4.5, "{scheme}: {name} on {behind} has {found:.2}");
                }
            }
            // Words are written in these as well.
            for name in ["red", "teal", "orange", "grey", "blue", "purple"] {
                let found = contrast(colour(name), colour("card"));
                assert!(found >= 4.5, "{scheme}: {name} has {found:.2}");
            }
        }
    }
}
