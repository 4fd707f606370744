//! A page for the people of a fleet, served by the controller over the same mutual TLS as all else.
//!
//! In reading order: `door` (connections whose peer is known) · `guard` (who is let in, what a browser is told, no requests from other
//! sites) · `routes` (what can be asked) · `feed` (the one look that all who look on share) · `words` (what is going on, in a sentence) ·
//! `assets` (the page itself, which is in the program).

mod assets;
mod door;
mod feed;
mod guard;
mod routes;
mod words;

use crate::controller::{Controller, Intercom};
use crate::trust::{Browser, Incoming};
use std::future::IntoFuture as _;

/// Answers browsers until the controller goes away.
///
/// # Errors
/// When the server ends by itself.
pub async fn serve(controller: &Controller, incoming: Incoming<Browser>) -> std::io::Result<()> {
    let intercom = controller.intercom();
    let over = intercom.clone();
    let router = routes::router(intercom).into_make_service_with_connect_info::<door::Visitor>();
    let served = axum::serve(door::Door(incoming), router).with_graceful_shutdown(async move { over.over().await });
    served.into_future().await
}

/// What all handlers share.
#[derive(Debug, Clone)]
struct Shared {
    intercom: Intercom,
    feed: std::sync::Arc<feed::Feed>,
}
