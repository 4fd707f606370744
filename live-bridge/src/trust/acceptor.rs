//! The door itself: accepts, waits for a first byte, shakes hands, and gives connections with a checked peer to the server.
//!
//! Silence costs a socket and nothing else: a handshake's place is taken only after the client has spoken. Without a file descriptor
//! left the loop sleeps instead of spinning.

use super::addresses::Addresses;
use super::counters::{Counters, count};
use super::identity::{CertificateFacts, Identity};
use super::registry::{Facts, Gauge, Registered};
use super::server::{Active, ServerTrust, shown};
use super::{Browser, Guest, Peer, Refusal, now_s};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// How long the kernel's queue of connections is that nobody has accepted yet.
const BACKLOG: u32 = 4096;
/// How long the loop sleeps when the system has no descriptor or memory for one more connection.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How often ended certificates are looked for: well within the second that a cut may take.
const SWEEP: Duration = Duration::from_millis(250);
/// Connections that shook hands and wait for the server to take them.
const READY_MAX: usize = 256;

/// Bounds at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes at a time.
    pub handshakes_max: usize,
    /// Of those, from one address: who stops in the middle of many handshakes holds up himself.
    pub handshakes_per_address_max: usize,
    /// Sockets that were accepted and have no handshake behind them; beyond it the kernel's queue holds the rest.
    pub waiting_max: usize,
    /// Open connections, beyond which new ones are refused.
    pub connections_max: usize,
    /// Open connections of one device, beyond which its oldest is cut.
    pub connections_per_device_max: usize,
    /// A client that has not said a byte for so long is dropped.
    pub first_byte: Duration,
    /// A handshake takes no longer.
    pub handshake: Duration,
}

impl Limits {
    /// Of a door for a whole fleet.
    pub const DEFAULT: Self = Self {
        handshakes_max: 256,
        handshakes_per_address_max: 128,
        waiting_max: 8192,
        connections_max: 50_000,
        connections_per_device_max: 16,
        first_byte: Duration::from_secs(5),
        handshake: Duration::from_secs(10),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Listens at an address, with a queue that stands the return of a whole fleet.
///
/// # Errors
/// When the address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Which TLS a kind of peer speaks, and how it is known after the handshake.
pub(crate) trait Kind: Sized + Clone + Send + Sync + 'static {
    fn config(active: &Active) -> &Arc<rustls::ServerConfig>;
    /// The peer, and what the kill switch must know of it.
    fn admit(tls: &rustls::ServerConnection, address: SocketAddr) -> Result<(Self, Option<Facts>), Refusal>;
}

impl Kind for Peer {
    fn config(active: &Active) -> &Arc<rustls::ServerConfig> {
        &active.peers
    }

    fn admit(tls: &rustls::ServerConnection, address: SocketAddr) -> Result<(Self, Option<Facts>), Refusal> {
        let read = CertificateFacts::read(shown(tls).ok_or(Refusal::NoCertificate)?)?;
        let end = Duration::from_secs(u64::try_from(read.not_after_s).unwrap_or(0));
        let device = match &read.spiffe.identity {
            Identity::Device(id) => Some(id.clone()),
            _ => None,
        };
        let facts = Facts { serial: read.serial.clone(), issuer: read.issuer, not_after_s: read.not_after_s, device };
        let peer = Self { identity: read.spiffe.identity, serial: read.serial, not_after: UNIX_EPOCH + end, address };
        Ok((peer, Some(facts)))
    }
}

impl Kind for Browser {
    fn config(active: &Active) -> &Arc<rustls::ServerConfig> {
        &active.browsers
    }

    fn admit(tls: &rustls::ServerConnection, address: SocketAddr) -> Result<(Self, Option<Facts>), Refusal> {
        Peer::admit(tls, address).map(|(peer, facts)| (Self(peer), facts))
    }
}

impl Kind for Guest {
    fn config(active: &Active) -> &Arc<rustls::ServerConfig> {
        &active.guests
    }

    fn admit(_tls: &rustls::ServerConnection, address: SocketAddr) -> Result<(Self, Option<Facts>), Refusal> {
        Ok((Self { address }, None))
    }
}

/// Connections that passed the door, for `serve_with_incoming_shutdown`.
#[derive(Debug)]
pub struct Incoming<P = Peer> {
    ready: mpsc::Receiver<io::Result<Connection<P>>>,
    tasks: [tokio::task::AbortHandle; 2],
}

/// Starts the loop at a listener.
pub(crate) fn start<P: Kind>(
    trust: Arc<ServerTrust>,
    listener: TcpListener,
    limits: Limits,
    counters: Arc<Counters>,
) -> Incoming<P> {
    let (give, ready) = mpsc::channel(READY_MAX);
    let sweep = sweep(Arc::clone(&trust));
    let door = Door {
        handshakes: Semaphore::new(limits.handshakes_max),
        addresses: Addresses::new(limits.handshakes_per_address_max),
        connections: Arc::new(Semaphore::new(limits.connections_max)),
        waiting: Arc::new(Semaphore::new(limits.waiting_max)),
        trust,
        limits,
        counters,
    };
    let accept = accept::<P>(Arc::new(door), listener, give);
    Incoming { ready, tasks: [tokio::spawn(accept).abort_handle(), tokio::spawn(sweep).abort_handle()] }
}

impl<P> Drop for Incoming<P> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl<P> Stream for Incoming<P> {
    type Item = io::Result<Connection<P>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context)
    }
}

struct Door {
    trust: Arc<ServerTrust>,
    limits: Limits,
    counters: Arc<Counters>,
    handshakes: Semaphore,
    addresses: Addresses,
    connections: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

async fn sweep(trust: Arc<ServerTrust>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        trust.registry().cut_expired(now_s());
    }
}

async fn accept<P: Kind>(door: Arc<Door>, listener: TcpListener, give: mpsc::Sender<io::Result<Connection<P>>>) {
    loop {
        // The semaphores are never closed, so the only end is that of the stream.
        let Ok(place) = Arc::clone(&door.waiting).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if gone_before_accepted(&error) => continue,
            Err(error) => {
                count(&door.counters.accept_pauses);
                tracing::warn!(%error, "cannot accept a connection, waiting");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let (door, give) = (Arc::clone(&door), give.clone());
        tokio::spawn(async move {
            let admitted = door.admit::<P>(stream, address).await;
            drop(place);
            match admitted {
                // The server is going away when nobody takes it.
                Ok(connection) => drop(give.send(Ok(connection)).await),
                Err(refusal) => {
                    door.counters.refuse(refusal);
                    tracing::info!(%address, reason = refusal.name(), "connection refused");
                }
            }
        });
    }
}

/// The client hung up while it stood in the kernel's queue: nothing is wrong here.
fn gone_before_accepted(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

impl Door {
    async fn admit<P: Kind>(&self, stream: TcpStream, address: SocketAddr) -> Result<Connection<P>, Refusal> {
        // `readable` wakes up for nothing now and then; a byte that can be looked at is there.
        match timeout(self.limits.first_byte, stream.peek(&mut [0; 1])).await {
            Err(_) => return Err(Refusal::Silent),
            Ok(Err(_) | Ok(0)) => return Err(Refusal::Network),
            Ok(Ok(_)) => {}
        }
        let queue = self.addresses.queue(address.ip());
        let _among_neighbours = queue.acquire().await.map_err(|_| Refusal::Full)?;
        let _turn = self.handshakes.acquire().await.map_err(|_| Refusal::Full)?;
        let room = Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Refusal::Full)?;
        stream.set_nodelay(true).map_err(|_| Refusal::Network)?;
        let config = Arc::clone(P::config(&self.trust.active.load()));
        let shake = TlsAcceptor::from(config).accept(stream);
        let tls = match timeout(self.limits.handshake, shake).await {
            Err(_) => return Err(Refusal::Slow),
            Ok(Err(error)) => return Err(Refusal::of_handshake(&error)),
            Ok(Ok(tls)) => tls,
        };
        let (info, facts) = P::admit(tls.get_ref().1, address)?;
        let registered = facts.map(|facts| self.register(facts)).transpose()?;
        count(&self.counters.accepted);
        let open = Gauge::raise(Arc::clone(&self.counters));
        Ok(Connection { tls, registered, info, _room: room, _open: open })
    }

    /// Enters the connection and looks at the lists again: they may have changed since the handshake began, and a reload cuts only
    /// what it finds here.
    fn register(&self, facts: Facts) -> Result<Registered, Refusal> {
        let (registry, device_max) = (self.trust.registry(), self.limits.connections_per_device_max);
        let registered = registry.enter(facts.clone(), Arc::clone(&self.counters), device_max);
        let active = self.trust.active.load();
        if active.revoked.contains(&facts.serial) {
            return Err(Refusal::Revoked);
        }
        if !active.issuers.contains(&facts.issuer) {
            return Err(Refusal::UnknownAuthority);
        }
        Ok(registered)
    }
}

/// An open connection; handlers find its peer in their request's extensions.
#[derive(Debug)]
pub struct Connection<P = Peer> {
    tls: TlsStream<TcpStream>,
    registered: Option<Registered>,
    info: P,
    _room: OwnedSemaphorePermit,
    _open: Gauge,
}

impl<P> Connection<P> {
    /// Who is at the other end.
    pub fn peer(&self) -> &P {
        &self.info
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.registered.as_mut().is_some_and(|registered| registered.is_cut(context))
    }
}

fn cut<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the certificate is no longer good")))
}

impl<P: Clone + Send + Sync + 'static> Connected for Connection<P> {
    type ConnectInfo = P;

    fn connect_info(&self) -> P {
        self.info.clone()
    }
}

// Every direction asks the switch: a connection whose peer reads nothing hangs in a write, and must be cut there.
impl<P: Unpin> AsyncRead for Connection<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_cut(context) { cut() } else { Pin::new(&mut self.tls).poll_read(context, buffer) }
    }
}

impl<P: Unpin> AsyncWrite for Connection<P> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_cut(context) { cut() } else { Pin::new(&mut self.tls).poll_write(context, bytes) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_cut(context) { cut() } else { Pin::new(&mut self.tls).poll_write_vectored(context, bytes) }
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(context) { cut() } else { Pin::new(&mut self.tls).poll_flush(context) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A farewell may hang as well; what was cut gets none.
        if self.is_cut(context) { Poll::Ready(Ok(())) } else { Pin::new(&mut self.tls).poll_shutdown(context) }
    }
}
