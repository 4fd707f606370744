//! The session with the controller: greeting, what is not stored yet, commands; again and again, with waits that grow and are drawn by lot.

use super::buffer::UNACKED_MAX;
use super::config::{PERIOD_RANGE, Settings};
use super::desk::Desk;
use super::machine::Machine;
use super::packages::{Boxed, Bytes, PackageSource, Trouble};
use super::{AGENT_VERSION, now_ms, orders};
use crate::wire::controller_message::Body as Said;
use crate::wire::device_link_client::DeviceLinkClient;
use crate::wire::device_message::Body;
use crate::wire::{
    Attempt, Chunk, ControllerMessage, DeviceMessage, FetchRequest, Hello, NotNow, PollRequest, RenewRequest,
    RenewResponse, UpdateRequest, Welcome,
};
use arc_swap::ArcSwapOption;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Longest wait the controller may ask for when it goes away.
const DRAIN_MAX: Duration = Duration::from_secs(600);
/// Largest message taken from the controller, bytes; chunks of files are below it.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Shortest and longest time after a "not now" until the device asks again.
const ASK_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));

/// What can make a connection to the controller.
pub trait Connector: Send + Sync {
    /// A new connection; it is known to be the controller's when it is there.
    fn connect(&self) -> Boxed<'_, Result<Channel, String>>;

    /// The request for the next certificate, PEM, when it is time for one.
    fn begin_renewal(&self) -> Option<Result<String, String>> {
        None
    }

    /// Takes the answer to it: certificate chain and authorities, PEM.
    ///
    /// # Errors
    /// They do not fit; the certificate of before stays.
    fn finish_renewal(&self, _chain: &str, _authorities: &str) -> Result<(), String> {
        Ok(())
    }
}

/// The connection of the session, for downloads beside it.
pub type Line = Arc<ArcSwapOption<Channel>>;

/// Waits between tries: drawn evenly from nothing up to a bound that doubles from 0.25 s to 5 s, so that a fleet does not come back at once.
#[derive(Debug)]
pub struct Backoff {
    bound: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { bound: Duration::from_millis(250) }
    }
}

impl Backoff {
    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.bound.mul_f64(by_lot());
        self.bound = (self.bound * 2).min(Duration::from_secs(5));
        wait
    }
}

/// From 0 to 1, differently on every device and every time.
fn by_lot() -> f64 {
    (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64
}

/// Why a session ended.
#[derive(Debug)]
pub enum End {
    /// The connection broke, or could not be made.
    Lost(String),
    /// The controller goes away for so long.
    Drain(Duration),
    /// The agent is to stop.
    Stop,
    /// The disk of the device.
    Disk(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Lost(format!("{:?}: {}", status.code(), status.message()))
    }
}

/// The link of a device to its controller.
pub struct Link {
    settings: Arc<Settings>,
    desk: Arc<Desk>,
    machine: Machine,
    connector: Arc<dyn Connector>,
    line: Line,
    period: watch::Sender<Duration>,
    /// When to ask for an update next.
    ask_at: Instant,
    greeted: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("controller", &self.settings.controller).finish_non_exhaustive()
    }
}

impl Link {
    /// A link; `period` is told when the controller wants another.
    pub fn new(
        settings: Arc<Settings>,
        desk: Arc<Desk>,
        machine: Machine,
        connector: Arc<dyn Connector>,
        line: Line,
        period: watch::Sender<Duration>,
    ) -> Self {
        Self { settings, desk, machine, connector, line, period, ask_at: Instant::now(), greeted: false }
    }

    /// Keeps a session until told to stop.
    ///
    /// # Errors
    /// The disk of the device.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let mut backoff = Backoff::default();
        while !*stop.borrow() {
            self.greeted = false;
            let end = self.session(&mut stop).await;
            self.line.store(None);
            let wait = match end {
                End::Disk(error) => return Err(error),
                End::Stop => break,
                End::Drain(wait) => wait + Backoff::default().next_wait(),
                End::Lost(why) => {
                    if self.greeted {
                        backoff = Backoff::default();
                    }
                    let wait = backoff.next_wait();
                    let (waiting, dropped) = self.desk.waiting();
                    tracing::info!(why, wait_ms = wait.as_millis() as u64, waiting, dropped, "no session");
                    wait
                }
            };
            drop(timeout(wait, stop.wait_for(|stop| *stop)).await);
        }
        Ok(())
    }

    async fn session(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        match self.try_session(stop).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_session(&mut self, stop: &mut watch::Receiver<bool>) -> Result<std::convert::Infallible, End> {
        let late = |_| End::Lost("no greeting in time".into());
        let limit = self.settings.connect;
        let mut client = tokio::select! {
            client = self.client() => client?,
            _ = stop.wait_for(|stop| *stop) => return Err(End::Stop),
        };
        // Never full: as many as may be under way, and the greeting.
        let (out, outgoing) = mpsc::channel(UNACKED_MAX + 1);
        let send = |message: DeviceMessage| out.try_send(message).map_err(|e| End::Lost(e.to_string()));
        send(DeviceMessage { sequence: 0, previous: None, at_ms: now_ms(), body: Some(Body::Hello(self.hello()?)) })?;
        let answer = timeout(limit, client.session(ReceiverStream::new(outgoing))).await.map_err(late)??;
        let mut incoming = answer.into_inner();
        let first = timeout(limit, incoming.message()).await.map_err(late)??;
        let Some(ControllerMessage { epoch, body: Some(Said::Welcome(welcome)) }) = first else {
            return Err(End::Lost("did not begin with a welcome".into()));
        };
        self.hear(epoch)?;
        self.welcome(&welcome)?;
        self.greeted = true;
        self.ask_at = Instant::now();
        tracing::info!(controller = self.settings.controller, epoch, resume_after = welcome.resume_after, "session");
        self.renew(&mut client).await;
        let mut changes = self.desk.changes();
        loop {
            changes.borrow_and_update();
            while let Some(message) = self.desk.next_to_send()? {
                send(message)?;
            }
            tokio::select! {
                message = incoming.message() => {
                    let message = message?.ok_or_else(|| End::Lost("the controller ended the session".into()))?;
                    self.obey(message)?;
                }
                _ = changes.changed() => {}
                () = sleep_until(self.ask_at) => {
                    self.ask()?;
                    self.renew(&mut client).await;
                }
                _ = stop.wait_for(|stop| *stop) => return Err(End::Stop),
            }
        }
    }

    /// One exchange without a session: says what there is to say, obeys what comes back.
    ///
    /// # Errors
    /// As for a session.
    pub async fn poll(&mut self, ask: bool) -> Result<(), End> {
        let mut client = self.client().await?;
        if ask {
            self.ask()?;
        }
        let mut messages = Vec::new();
        while let Some(message) = self.desk.next_to_send()? {
            messages.push(message);
        }
        let request = PollRequest { hello: Some(self.hello()?), messages };
        let answer = timeout(self.settings.connect, client.poll(request)).await;
        let answer = answer.map_err(|_| End::Lost("no answer in time".into()))??.into_inner();
        answer.messages.into_iter().try_for_each(|message| self.obey(message))
    }

    /// Gets the next certificate when it is time. It is tried again with the next session, or hour, when it does not come.
    async fn renew(&self, client: &mut DeviceLinkClient<Channel>) {
        match self.try_renew(client).await {
            Ok(false) => {}
            Ok(true) => tracing::info!("a new certificate"),
            Err(why) => tracing::warn!(why, "no new certificate"),
        }
    }

    async fn try_renew(&self, client: &mut DeviceLinkClient<Channel>) -> Result<bool, String> {
        let Some(request) = self.connector.begin_renewal() else { return Ok(false) };
        let request = RenewRequest { certificate_signing_request: request? };
        let answer = timeout(self.settings.connect, client.renew(request)).await;
        let answer = answer.map_err(|_| "no answer in time")?.map_err(|status| status.message().to_owned())?;
        let RenewResponse { certificate_chain, authorities } = answer.into_inner();
        self.connector.finish_renewal(&certificate_chain, &authorities).map(|()| true)
    }

    async fn client(&self) -> Result<DeviceLinkClient<Channel>, End> {
        let made = timeout(self.settings.connect, self.connector.connect()).await;
        let channel = made.map_err(|_| End::Lost("no connection in time".into()))?.map_err(End::Lost)?;
        self.line.store(Some(Arc::new(channel.clone())));
        Ok(DeviceLinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn hello(&self) -> io::Result<Hello> {
        let state = self.desk.state();
        let attempt = state.work.as_ref().map(|w| Attempt {
            command: w.command,
            attempt: w.attempt,
            state: w.phase.name().into(),
        });
        Ok(Hello {
            device_id: self.settings.device_id.clone(),
            version: self.machine.version()?,
            agent_version: AGENT_VERSION.into(),
            attempt,
            generation: state.generation,
            epoch: state.epoch,
        })
    }

    fn hear(&self, epoch: u64) -> Result<(), End> {
        if orders::hear(&self.desk, epoch)? {
            return Ok(());
        }
        let highest = self.desk.state().epoch;
        Err(End::Lost(format!("a controller of epoch {epoch} is not obeyed after one of epoch {highest}")))
    }

    fn obey(&mut self, message: ControllerMessage) -> Result<(), End> {
        self.hear(message.epoch)?;
        let desk = &self.desk;
        match message.body {
            Some(Said::Welcome(welcome)) => self.welcome(&welcome)?,
            Some(Said::Ack(ack)) => desk.ack(ack.sequence)?,
            Some(Said::Install(order)) => {
                let taken = orders::install(desk, &order, &self.machine.version()?)?;
                tracing::info!(
                    command = order.command,
                    attempt = order.attempt,
                    version = order.version,
                    ?taken,
                    "install"
                );
            }
            Some(Said::Rollback(order)) => {
                let taken = orders::rollback(desk, &order, &self.machine.version()?)?;
                tracing::info!(
                    command = order.command,
                    attempt = order.attempt,
                    version = order.version,
                    ?taken,
                    "rollback"
                );
            }
            Some(Said::Cancel(order)) => {
                let taken = orders::cancel(desk, order.command, &self.machine.version()?)?;
                tracing::info!(command = order.command, ?taken, "cancel");
            }
            Some(Said::NotNow(answer)) => self.not_now(&answer),
            Some(Said::Announce(_)) => self.ask()?,
            Some(Said::Drain(drain)) => {
                let wait = Duration::from_millis(u64::from(drain.retry_after_ms)).min(DRAIN_MAX);
                return Err(End::Drain(wait));
            }
            // Of a newer controller: what this agent does not know it cannot do, and its silence is an answer.
            None => tracing::warn!("a message of an unknown kind"),
        }
        Ok(())
    }

    fn welcome(&self, welcome: &Welcome) -> io::Result<()> {
        if self.desk.resume(welcome.resume_after)? {
            let resume_after = welcome.resume_after;
            tracing::warn!(resume_after, "the controller knows higher numbers than this device: going on after them");
        }
        if welcome.report_every_ms > 0 {
            let wanted =
                Duration::from_millis(u64::from(welcome.report_every_ms)).clamp(PERIOD_RANGE.0, PERIOD_RANGE.1);
            self.period.send_if_modified(|period| std::mem::replace(period, wanted) != wanted);
        }
        Ok(())
    }

    /// Asks for an update, unless one is under way or the question is already on its way.
    fn ask(&mut self) -> io::Result<()> {
        self.ask_at = Instant::now() + self.settings.ask_every;
        if self.desk.work().is_none() && !self.desk.has(|body| matches!(body, Body::Request(_))) {
            self.desk.change(|change| change.say(Body::Request(UpdateRequest {})))?;
        }
        Ok(())
    }

    fn not_now(&mut self, answer: &NotNow) {
        tracing::info!(reason = answer.reason, earliest_ms = answer.earliest_ms, "no update now");
        if let Some(earliest_ms) = answer.earliest_ms {
            let until = Duration::from_millis(u64::try_from(earliest_ms - now_ms()).unwrap_or(0));
            self.ask_at = self.ask_at.min(Instant::now() + until.clamp(ASK_RANGE.0, ASK_RANGE.1));
        }
    }
}

/// Files of the repository over the connection of the session.
#[derive(Debug)]
pub struct RemoteSource(pub Line);

struct Incoming {
    stream: tonic::Streaming<Chunk>,
    total: Option<u64>,
}

impl PackageSource for RemoteSource {
    fn fetch<'a>(&'a self, file: &'a str, offset: u64) -> Boxed<'a, Result<Box<dyn Bytes>, Trouble>> {
        Box::pin(async move {
            let channel = self.0.load_full().ok_or_else(|| Trouble::Unreachable("no session".into()))?;
            let mut client =
                DeviceLinkClient::new(channel.as_ref().clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let request = FetchRequest { file: file.into(), offset };
            let stream = client.fetch(request).await.map_err(trouble)?.into_inner();
            Ok(Box::new(Incoming { stream, total: None }) as Box<dyn Bytes>)
        })
    }
}

impl Bytes for Incoming {
    fn next(&mut self) -> Boxed<'_, Result<Option<Vec<u8>>, Trouble>> {
        Box::pin(async move {
            let Some(chunk) = self.stream.message().await.map_err(trouble)? else { return Ok(None) };
            self.total = Some(chunk.total);
            Ok(Some(chunk.data))
        })
    }

    fn total(&self) -> Option<u64> {
        self.total
    }
}

fn trouble(status: Status) -> Trouble {
    let words = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::NotFound => Trouble::Missing(words),
        Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition | Code::OutOfRange => {
            Trouble::Refused(words)
        }
        _ => Trouble::Unreachable(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_drawn_by_lot_and_bounded() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] <= Duration::from_millis(250) && waits[1] <= Duration::from_millis(500));
        assert!(waits.iter().all(|w| *w <= Duration::from_secs(5)));
        let mean = waits[5..].iter().sum::<Duration>().as_secs_f64() / 195.0;
        assert!((2.0..3.0).contains(&mean), "{mean}");
    }
}
