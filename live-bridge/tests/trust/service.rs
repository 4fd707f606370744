//! A small controller: acknowledges reports in order, and renews certificates.

use slacktide_live_bridge::trust::{Authority, Counters, Identity, Peer, enrolment};
use slacktide_live_bridge::wire::controller_message::Body;
use slacktide_live_bridge::wire::device_link_server::DeviceLink;
use slacktide_live_bridge::wire::{
    Ack, Chunk, ControllerMessage, DeviceMessage, FetchRequest, PollRequest, PollResponse, RenewRequest, RenewResponse,
    Welcome,
};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// What was taken, by device: every number once, in order.
pub(crate) type Taken = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

pub(crate) struct Link {
    pub(crate) authority: Arc<Authority>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) taken: Taken,
}

type Messages = Pin<Box<dyn Stream<Item = Result<ControllerMessage, Status>> + Send>>;

fn device<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().ok_or_else(|| Status::internal("no peer"))?;
    Ok(peer.clone())
}

#[tonic::async_trait]
impl DeviceLink for Link {
    type SessionStream = Messages;
    type FetchStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn session(&self, request: Request<Streaming<DeviceMessage>>) -> Result<Response<Messages>, Status> {
        let Identity::Device(id) = device(&request)?.identity else {
            return Err(Status::permission_denied("no device"));
        };
        let taken = Arc::clone(&self.taken);
        let stored = taken.lock().unwrap().get(&id).and_then(|numbers| numbers.last().copied()).unwrap_or(0);
        let welcome = Body::Welcome(Welcome { resume_after: stored, report_every_ms: 1 });
        let acks = request.into_inner().map(move |message| {
            let number = message?.sequence;
            let mut taken = taken.lock().unwrap();
            let numbers = taken.entry(id.clone()).or_default();
            if number > numbers.last().copied().unwrap_or(0) {
                numbers.push(number);
            }
            Ok(ControllerMessage { epoch: 1, body: Some(Body::Ack(Ack { sequence: number })) })
        });
        let first = tokio_stream::once(Ok(ControllerMessage { epoch: 1, body: Some(welcome) }));
        Ok(Response::new(Box::pin(first.chain(acks))))
    }

    async fn poll(&self, request: Request<PollRequest>) -> Result<Response<PollResponse>, Status> {
        device(&request)?;
        Ok(Response::new(PollResponse { messages: Vec::new() }))
    }

    async fn fetch(&self, _request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        Err(Status::not_found("no files here"))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let peer = device(&request)?;
        let authority = Arc::clone(&self.authority);
        enrolment::renew(authority, &peer, request.into_inner(), &self.counters).await.map(Response::new)
    }
}
