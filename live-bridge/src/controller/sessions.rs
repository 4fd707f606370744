//! The devices' service: sessions, calls now and then, files.

use super::front::Front;
use super::inbox::Received;
use super::protocol::{Refused, Step, Talk, greet};
use super::registry::{Device, Mail};
use crate::trust::{Peer, enrolment};
use crate::wire::device_link_server::DeviceLink;
use crate::wire::{
    Ack, Chunk, ControllerMessage, DeviceMessage, Drain, FetchRequest, Hello, PollRequest, PollResponse, RenewRequest,
    RenewResponse, Welcome, controller_message::Body as Said, device_message::Body,
};
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Messages to a device on their way to its socket.
const OUT_MAX: usize = 8;
/// Messages of a device that are not stored yet; more are not read meanwhile.
const UNACKED_MAX: u64 = 16;
/// Messages of one call.
const POLL_MAX: usize = 1000;
/// A session says hello within this time.
const HELLO_WAIT: Duration = Duration::from_secs(10);
/// A device that does not read for this long loses its session.
const READ_WAIT: Duration = Duration::from_secs(30);
/// A call is answered within this time, or refused.
const STORE_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a file sent at a time.
const CHUNK_BYTES: usize = 32 * 1024;

/// [`DeviceLink`] for the devices of a fleet.
#[derive(Debug, Clone)]
pub(super) struct Sessions(pub(super) Arc<Front>);

impl Sessions {
    fn refuse(&self, device: &Device, refused: Refused) -> Status {
        self.0.metrics.refused(refused.reason);
        tracing::warn!(device = device.name(), reason = refused.reason, said = refused.status.message(), "refused");
        refused.status
    }

    /// A device is there: the engine knows it once this returns.
    async fn greet(&self, device: &Arc<Device>, hello: &Hello) -> Result<(), Status> {
        let version = greet(hello, device.name(), self.0.outbox.epoch()).map_err(|why| self.refuse(device, why))?;
        self.0.introduce(device, Some(version)).await?;
        device.heard(self.0.clock.now().as_millis());
        Ok(())
    }

    fn welcome(&self, resume_after: u64) -> ControllerMessage {
        self.0.outbox.message(Said::Welcome(Welcome { resume_after, report_every_ms: self.0.report_every_ms }))
    }

    fn ack(&self, sequence: u64) -> ControllerMessage {
        self.0.outbox.message(Said::Ack(Ack { sequence }))
    }

    /// Takes one message in. Waits while too much is on its way to the store.
    async fn take(&self, device: &Arc<Device>, talk: &mut Talk, message: DeviceMessage) -> Result<(), Status> {
        device.heard(self.0.clock.now().as_millis());
        match talk.take(&message).map_err(|why| self.refuse(device, why))? {
            Step::Known => Ok(()),
            Step::Store => self.0.store(device, message, None).await,
        }
    }

    /// One session from its first message to its end.
    async fn talk(
        &self,
        device: &Arc<Device>,
        inbound: &mut Streaming<DeviceMessage>,
        out: &mpsc::Sender<Result<ControllerMessage, Status>>,
    ) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_WAIT, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello"))?.inspect_err(|why| self.unread(why))?;
        let Some(Body::Hello(hello)) = first.and_then(|message| message.body) else {
            self.malformed();
            return Err(Status::invalid_argument("a session begins with a hello"));
        };
        self.greet(device, &hello).await?;
        let (number, mail) = device.begin_session();
        self.0.metrics.session(1);
        tracing::info!(device = device.name(), version = hello.version, agent = hello.agent_version, "connected");
        let result = self.converse(device, inbound, out, mail).await;
        device.finish_session(number);
        self.0.metrics.session(-1);
        tracing::info!(device = device.name(), why = result.as_ref().err().map(Status::message), "disconnected");
        result
    }

    fn malformed(&self) {
        self.0.metrics.refused("malformed");
    }

    /// A message could not be read. That of a connection that broke has its cause below it, and is nobody's lie.
    fn unread(&self, why: &Status) {
        if std::error::Error::source(why).is_none() {
            self.malformed();
        }
    }

    async fn converse(
        &self,
        device: &Arc<Device>,
        inbound: &mut Streaming<DeviceMessage>,
        out: &mpsc::Sender<Result<ControllerMessage, Status>>,
        mut mail: mpsc::Receiver<Mail>,
    ) -> Result<(), Status> {
        let over = super::stopped(self.0.stop.clone());
        tokio::pin!(over);
        let mut acked = device.stored();
        let mut talk = Talk::new(acked);
        let mut reads_again = tokio::time::Instant::now();
        say(out, self.welcome(acked)).await?;
        for message in self.0.outbox.of(device.name()) {
            say(out, message).await?;
        }
        loop {
            let is_free = talk.taken.saturating_sub(device.stored()) < UNACKED_MAX;
            let read = async {
                tokio::time::sleep_until(reads_again).await;
                inbound.message().await
            };
            tokio::select! {
                letter = mail.recv() => match letter {
                    Some(Mail::Say(message)) => say(out, message).await?,
                    Some(Mail::End(status)) => return Err(status),
                    None => return Err(Status::aborted("the session was ended")),
                },
                () = device.news.notified() => {}
                message = read, if is_free => match message.inspect_err(|why| self.unread(why))? {
                    Some(message) => {
                        if let Some(wait) = device.book() {
                            self.0.metrics.flooding();
                            reads_again = tokio::time::Instant::now() + wait;
                        }
                        self.take(device, &mut talk, message).await?;
                    }
                    None => return Ok(()),
                },
                () = &mut over => {
                    let retry_after_ms = self.0.retry_after_ms;
                    return say(out, self.0.outbox.message(Said::Drain(Drain { retry_after_ms }))).await;
                }
            }
            let stored = device.stored();
            if stored > acked {
                acked = stored;
                say(out, self.ack(acked)).await?;
            }
        }
    }

    /// Lets a device that sends too fast wait.
    async fn pace(&self, device: &Device) {
        if let Some(wait) = device.book() {
            self.0.metrics.flooding();
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until everything up to `sequence` is stored.
    async fn stored(&self, device: &Device, sequence: u64, failures: u64) -> Result<(), Status> {
        let until = tokio::time::Instant::now() + STORE_WAIT;
        while device.stored() < sequence {
            let news = device.news.notified();
            if device.failures() != failures || tokio::time::timeout_at(until, news).await.is_err() {
                return Err(Status::unavailable("not stored: send it again"));
            }
        }
        Ok(())
    }
}

async fn say(out: &mpsc::Sender<Result<ControllerMessage, Status>>, message: ControllerMessage) -> Result<(), Status> {
    match tokio::time::timeout(READ_WAIT, out.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Status::cancelled("the device does not read")),
    }
}

#[tonic::async_trait]
impl DeviceLink for Sessions {
    type SessionStream = ReceiverStream<Result<ControllerMessage, Status>>;
    type FetchStream = ReceiverStream<Result<Chunk, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<DeviceMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let device = Arc::clone(self.0.device(&request)?);
        let mut inbound = request.into_inner();
        let (out, answers) = mpsc::channel(OUT_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.talk(&device, &mut inbound, &out).await {
                let _ = out.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn poll(&self, request: Request<PollRequest>) -> Result<Response<PollResponse>, Status> {
        let device = Arc::clone(self.0.device(&request)?);
        let PollRequest { hello, messages } = request.into_inner();
        let Some(hello) = hello else {
            self.malformed();
            return Err(Status::invalid_argument("a call begins with a hello"));
        };
        if messages.len() > POLL_MAX {
            self.0.metrics.refused("oversize");
            return Err(Status::invalid_argument(format!("a call carries at most {POLL_MAX} messages")));
        }
        self.pace(&device).await;
        self.greet(&device, &hello).await?;
        let failures = device.failures();
        let mut talk = Talk::new(device.stored());
        for message in messages {
            self.pace(&device).await;
            self.take(&device, &mut talk, message).await?;
        }
        self.stored(&device, talk.taken, failures).await?;
        let mut messages = vec![self.welcome(device.stored()), self.ack(device.stored())];
        messages.extend(self.0.outbox.of(device.name()));
        messages.extend(device.take_answers());
        Ok(Response::new(PollResponse { messages }))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let device = Arc::clone(self.0.device(&request)?);
        let FetchRequest { file, offset } = request.into_inner();
        let (out, chunks) = mpsc::channel(OUT_MAX);
        let shelf = Arc::clone(&self.0.shelf);
        tracing::debug!(device = device.name(), file, offset, "fetches");
        tokio::task::spawn_blocking(move || {
            if let Err(status) = send_file(shelf.open(&file), offset, &out) {
                let _ = out.blocking_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(chunks)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return Err(Status::permission_denied("no certificate, no renewal"));
        };
        let Some(authority) = self.0.authority.clone() else {
            return Err(Status::failed_precondition("this controller signs no certificates"));
        };
        enrolment::renew(authority, &peer, request.into_inner(), &self.0.counters).await.map(Response::new)
    }
}

fn send_file(
    opened: Result<(std::fs::File, u64), String>,
    offset: u64,
    out: &mpsc::Sender<Result<Chunk, Status>>,
) -> Result<(), Status> {
    let (mut file, total) = opened.map_err(Status::not_found)?;
    if offset > total {
        return Err(Status::out_of_range(format!("the file has {total} bytes")));
    }
    let unread = |error: std::io::Error| Status::unavailable(error.to_string());
    file.seek(SeekFrom::Start(offset)).map_err(unread)?;
    let mut left = total - offset;
    loop {
        let mut data = vec![0; CHUNK_BYTES.min(left as usize)];
        file.read_exact(&mut data).map_err(unread)?;
        left -= data.len() as u64;
        // A device that went away needs no more.
        if out.blocking_send(Ok(Chunk { data, total })).is_err() || left == 0 {
            return Ok(());
        }
    }
}

impl Front {
    /// Brings a message on its way to the store; `done` is told when it is there.
    pub(super) async fn store(
        &self,
        device: &Arc<Device>,
        message: DeviceMessage,
        done: Option<tokio::sync::oneshot::Sender<()>>,
    ) -> Result<(), Status> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| self.away())?;
        let device = Arc::clone(device);
        self.write(super::writer::Job::Said(Received {
            device,
            message,
            came: Instant::now(),
            _place: Some(place),
            done,
        }))
    }
}
