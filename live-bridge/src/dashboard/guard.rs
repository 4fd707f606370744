//! Who is let in, what browsers are told to keep to, and that only our own page may ask for something to be done.

use super::Shared;
use super::door::Visitor;
use crate::trust::Role;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tonic::{Code, Status};

/// Sent by our page with every wish. A page of another site cannot send it without asking first, and is not answered.
const WISH: HeaderName = HeaderName::from_static("x-slacktide");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const RULES: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Every request passes here.
pub(super) async fn watch(
    State(shared): State<Shared>,
    ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admitted(&shared, &peer, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    RULES.into_iter().for_each(|(name, rule)| drop(headers.insert(name, HeaderValue::from_static(rule))));
    response
}

fn admitted(shared: &Shared, peer: &crate::trust::Peer, request: &Request) -> Result<(), Refusal> {
    if let Err(status) = shared.intercom.person(peer, Role::Viewer) {
        return Err(Refusal { reason: "not-a-person", ..Refusal::from(status) });
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    foreign(request).map_or(Ok(()), |why| {
        shared.intercom.refused("cross-site");
        Err(Refusal { status: StatusCode::FORBIDDEN, reason: "cross-site", message: why.to_owned() })
    })
}

/// Why a wish may come from another page than ours; `None` where it does not.
fn foreign(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if text(&FETCH_SITE).is_some_and(|site| site != "same-origin") {
        return Some("the browser says that a page of another site asks for this");
    }
    if text(&header::ORIGIN).is_some_and(|origin| !is_own(origin, request, headers)) {
        return Some("a page of another origin asks for this");
    }
    if !headers.contains_key(WISH) {
        return Some("a wish must carry the header x-slacktide");
    }
    None
}

/// Is it the origin that the request itself was sent to? Plain http only where somebody forwards on their own machine.
fn is_own(origin: &str, request: &Request, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.or_else(|| request.uri().authority().map(|authority| authority.as_str())) else {
        return false;
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_loopback = matches!(name, "127.0.0.1" | "[::1]" | "localhost");
    origin.strip_prefix("https://") == Some(host) || (is_loopback && origin.strip_prefix("http://") == Some(host))
}

/// A refusal, as JSON with its reason.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let (code, reason) = match status.code() {
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "not-allowed"),
            Code::FailedPrecondition => (StatusCode::CONFLICT, "not-now"),
            Code::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Code::InvalidArgument => (StatusCode::BAD_REQUEST, "bad-request"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "away"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self { status: code, reason, message: status.message().to_owned() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"reason": self.reason, "message": self.message}});
        (self.status, axum::Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn wish(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method("POST").uri("/api/stop").header("x-slacktide", "dashboard");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_our_own_page_and_plain_programs_may_ask() {
        let own = |headers: &[(&str, &str)]| foreign(&wish(headers)).is_none();
        assert!(own(&[("host", "c:9444")]), "a program without a browser");
        assert!(own(&[("host", "c:9444"), ("origin", "https://c:9444"), ("sec-fetch-site", "same-origin")]));
        assert!(own(&[("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1:80")]), "a forwarder on this machine");
        assert!(!own(&[("host", "c:9444"), ("origin", "http://c:9444")]));
        assert!(!own(&[("host", "c:9444"), ("origin", "https://c:9445")]));
        assert!(!own(&[("host", "c:9444"), ("origin", "null")]));
        assert!(!own(&[("host", "c:9444"), ("sec-fetch-site", "same-site")]));
        assert!(!own(&[("host", "127.0.0.1.evil.example:80"), ("origin", "http://127.0.0.1.evil.example:80")]));
        let mut bare = wish(&[("host", "c:9444")]);
        bare.headers_mut().remove(WISH);
        assert!(foreign(&bare).is_some());
    }
}
