//! What can be asked.

use super::door::Visitor;
use super::feed::{Feed, HEARTBEAT, Shown};
use super::guard::{self, Refusal};
use super::{Shared, assets};
use crate::controller::{Decision, Intercom, Verb};
use crate::trust::{Identity, Peer, Role};
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Largest wish, bytes.
const WISH_BYTES_MAX: usize = 4096;
/// A line that says nothing but that the connection is there.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

type Answer = Result<Json<Value>, Refusal>;
type Events = Sse<KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

pub(super) fn router(intercom: Intercom) -> Router {
    let shared = Shared { feed: Arc::new(Feed::new(intercom.clone())), intercom };
    Router::new()
        .route("/", get(assets::page))
        .route("/look.css", get(assets::look))
        .route("/page.js", get(assets::script))
        .route("/map.js", get(assets::map))
        .route("/draw.js", get(assets::tools))
        .route("/api/me", get(me))
        .route("/api/status", get(status))
        .route("/api/events", get(events))
        .route("/api/rollouts/{rollout}/{verb}", post(act))
        .route("/api/stop", post(stop))
        .route("/api/release", post(release))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(shared.clone(), guard::watch))
        .layer(DefaultBodyLimit::max(WISH_BYTES_MAX))
        .with_state(shared)
}

async fn nothing() -> Refusal {
    Refusal { status: StatusCode::NOT_FOUND, reason: "not-found", message: "there is nothing here".to_owned() }
}

/// Who is asking, and what they may do.
async fn me(State(shared): State<Shared>, ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>) -> Json<Value> {
    let mut may: Vec<&str> = Vec::new();
    let mut role_name = "";
    if let Identity::Operator { role, .. } = &peer.identity {
        role_name = role.name();
        may.extend(Verb::ALL.into_iter().filter(|verb| role.may(verb.least())).map(Verb::name));
        may.extend(["stop", "release"].into_iter().filter(|_| role.may(Role::Operator)));
    }
    let two_persons = shared.intercom.two_persons();
    Json(json!({"name": peer.identity.name(), "role": role_name, "may": may, "two_persons": two_persons}))
}

/// Everything once.
async fn status(State(shared): State<Shared>) -> Answer {
    let shown = shared.feed.latest().await?;
    let mut status = shown.status.clone();
    status["decisions"] = json!(shown.decisions);
    Ok(Json(status))
}

/// Everything at first, and again after every change, until the browser or the controller goes away.
async fn events(State(shared): State<Shared>, headers: HeaderMap) -> Result<Events, Refusal> {
    let heard = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let (out, events) = mpsc::channel(4);
    tokio::spawn(tell(shared, heard, out));
    Ok(Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}

/// What one browser has been told.
#[derive(Default)]
struct Told {
    shown: Option<Arc<Shown>>,
    decision: Option<u64>,
}

async fn tell(shared: Shared, heard: Option<u64>, out: mpsc::Sender<Result<Event, Infallible>>) {
    let mut changes = shared.intercom.changes();
    let mut told = Told { decision: heard, ..Told::default() };
    let over = shared.intercom.over();
    tokio::pin!(over);
    loop {
        changes.borrow_and_update();
        let Ok(shown) = shared.feed.latest().await else { return };
        for event in told.news(&shown) {
            if out.send(Ok(event)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = &mut over => return,
            () = out.closed() => return,
        }
    }
}

impl Told {
    /// What has not been told yet.
    fn news(&mut self, shown: &Arc<Shown>) -> Vec<Event> {
        let before = self.shown.replace(Arc::clone(shown));
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, shown)) {
            return Vec::new();
        }
        let mut events = vec![Event::default().event("status").data(&shown.status_text)];
        if before.is_none_or(|before| before.map_text != shown.map_text) {
            events.push(Event::default().event("map").data(&shown.map_text));
        }
        events.extend(self.decisions(&shown.decisions));
        events
    }

    /// A browser that comes back says which decision it heard last; one whose journal is not ours any more hears all.
    fn decisions(&mut self, all: &[Decision]) -> Option<Event> {
        let newest = all.last()?.number;
        let heard = self.decision.filter(|heard| *heard <= newest);
        let new: Vec<&Decision> = all.iter().filter(|one| heard.is_none_or(|heard| one.number > heard)).collect();
        self.decision = Some(newest);
        if new.is_empty() {
            return None;
        }
        let data = json!({"whole": heard.is_none(), "lines": new}).to_string();
        Some(Event::default().event("decisions").id(newest.to_string()).data(data))
    }
}

/// A wish about one rollout.
async fn act(
    State(shared): State<Shared>,
    ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>,
    Path((rollout, verb)): Path<(String, String)>,
) -> Answer {
    let verb = verb.parse::<Verb>().map_err(|()| bad(format!("`{verb}` is nothing that can be done to a rollout")))?;
    let rollout = rollout.parse().map_err(|_| bad(format!("`{rollout}` is no number of a rollout")))?;
    may(&shared, &peer, verb.least())?;
    let status = shared.intercom.act(&peer, verb, rollout).await?;
    Ok(Json(json!({"rollout": status.rollout, "state": status.state, "cause": status.cause})))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Stop {
    reason: String,
}

/// The andon switch.
async fn stop(
    State(shared): State<Shared>,
    ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>,
    stop: Result<Json<Stop>, JsonRejection>,
) -> Answer {
    may(&shared, &peer, Role::Operator)?;
    let Json(Stop { reason }) = stop.map_err(|rejection| bad(rejection.body_text()))?;
    shared.intercom.andon(&peer, Some(reason)).await?;
    Ok(Json(json!({"stopped": true})))
}

async fn release(State(shared): State<Shared>, ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>) -> Answer {
    may(&shared, &peer, Role::Operator)?;
    shared.intercom.andon(&peer, None).await?;
    Ok(Json(json!({"stopped": false})))
}

/// Refused for the role alone: named so that a page can say it.
fn may(shared: &Shared, peer: &Peer, least: Role) -> Result<(), Refusal> {
    let refused = shared.intercom.person(peer, least).err();
    refused.map_or(Ok(()), |status| Err(Refusal { reason: "role", ..Refusal::from(status) }))
}

fn bad(message: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, reason: "bad-request", message }
}
