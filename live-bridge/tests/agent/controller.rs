//! A controller that does what the test says: stores messages, sends commands, serves files, breaks off.

use slacktide_live_bridge::wire::controller_message::Body as Said;
use slacktide_live_bridge::wire::device_link_server::{DeviceLink, DeviceLinkServer};
use slacktide_live_bridge::wire::device_message::Body;
use slacktide_live_bridge::wire::{
    Ack, Chunk, ControllerMessage, DeviceMessage, FetchRequest, Hello, Install, Outcome, PollRequest, PollResponse,
    RenewRequest, RenewResponse, Rollback, Welcome,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    pub(crate) hellos: Vec<Hello>,
    /// Stored, by number.
    pub(crate) messages: BTreeMap<u64, DeviceMessage>,
    /// Files and from where on they were asked for, and how many bytes were given.
    pub(crate) fetched: Vec<(String, u64, u64)>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// A download of a target stops after so many bytes of the file, until this is cleared.
    pub(crate) hold_at: Option<u64>,
    /// Downloads that were held when their device went away.
    pub(crate) left_while_held: u32,
    /// A download of a target breaks off after so many bytes of the file, once.
    pub(crate) break_at: Option<u64>,
    /// Messages are heard and not stored.
    pub(crate) deaf: bool,
    /// Commands by number; those without an outcome are sent again in every session and poll, after the welcome.
    open: BTreeMap<u64, Said>,
    session: Option<mpsc::Sender<Result<ControllerMessage, Status>>>,
}

impl Seen {
    fn high(&self) -> u64 {
        self.messages.keys().next_back().copied().unwrap_or(0)
    }

    pub(crate) fn outcomes(&self, command: u64) -> Vec<Outcome> {
        let bodies = self.messages.values().filter_map(|m| m.body.clone());
        bodies
            .filter_map(|body| if let Body::Outcome(o) = body { Some(o) } else { None })
            .filter(|o| o.command == command)
            .collect()
    }

    pub(crate) fn reached(&self, attempt: u64, state: &str) -> bool {
        let is = |body: &Body| matches!(body, Body::Progress(p) if p.attempt == attempt && p.state == state);
        self.messages.values().filter_map(|m| m.body.as_ref()).any(is)
    }

    pub(crate) fn reports(&self) -> usize {
        self.messages.values().filter(|m| matches!(m.body, Some(Body::Report(_)))).count()
    }
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Clone)]
struct Service(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    /// Connections live in it and go with it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Controller {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        shared.seen.lock().unwrap().epoch = 1;
        let mut controller = Self { address: "127.0.0.1:0".parse().unwrap(), shared, runtime: None };
        controller.come_back();
        controller
    }

    /// Away from the network: connections break and none can be made.
    pub(crate) fn cut_off(&mut self) {
        self.change(|seen| seen.session = None);
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }

    pub(crate) fn come_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(self.address).unwrap();
            socket.listen(16).unwrap()
        });
        self.address = listener.local_addr().unwrap();
        let service = DeviceLinkServer::new(Service(Arc::clone(&self.shared)));
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        self.runtime = Some(runtime);
    }

    pub(crate) fn change<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        let result = f(&mut self.shared.seen.lock().unwrap());
        self.shared.changed.notify_all();
        result
    }

    /// Waits until `f` finds what it looks for.
    pub(crate) fn wait<T>(&self, what: &str, f: impl Fn(&Seen) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut seen = self.shared.seen.lock().unwrap();
        loop {
            if let Some(found) = f(&seen) {
                return found;
            }
            let told =
                || seen.messages.values().filter(|m| !matches!(m.body, Some(Body::Report(_)))).collect::<Vec<_>>();
            assert!(Instant::now() < until, "waited in vain for {what}: the device said {:?}", told());
            seen = self.shared.changed.wait_timeout(seen, Duration::from_millis(50)).unwrap().0;
        }
    }

    /// Sends something in the session there is; an install or a rollback also in the next ones, until it has its outcome.
    pub(crate) fn send(&self, said: Said) {
        self.change(|seen| {
            match &said {
                Said::Install(order) => drop(seen.open.insert(order.command, said.clone())),
                Said::Rollback(order) => drop(seen.open.insert(order.command, said.clone())),
                _ => {}
            }
            let message = ControllerMessage { epoch: seen.epoch, body: Some(said) };
            // Without a session it waits for the next.
            seen.session.as_ref().map(|session| session.try_send(Ok(message)).ok());
        });
    }

    /// Sends an install again until it is answered again.
    pub(crate) fn ask_again(&self, command: u64, version: &str) {
        let answers = self.change(|seen| seen.outcomes(command).len());
        for _ in 0..200 {
            self.install(command, version);
            std::thread::sleep(Duration::from_millis(50));
            if self.change(|seen| seen.outcomes(command).len()) > answers {
                return;
            }
        }
        panic!("command {command} was not answered again");
    }

    pub(crate) fn install(&self, command: u64, version: &str) -> Install {
        self.install_of(command, 1, version, 60_000)
    }

    pub(crate) fn install_of(&self, command: u64, generation: u64, version: &str, timeout_ms: u64) -> Install {
        let (package, version) = ("app".to_owned(), version.to_owned());
        let sha256 = String::new();
        let order = Install { command, attempt: command, generation, package, version, timeout_ms, sha256 };
        self.send(Said::Install(order.clone()));
        order
    }

    pub(crate) fn rollback(&self, command: u64, version: &str) {
        let version = version.to_owned();
        self.send(Said::Rollback(Rollback { command, attempt: command, generation: 1, version, timeout_ms: 60_000 }));
    }

    pub(crate) fn outcome(&self, command: u64) -> Outcome {
        self.wait(&format!("the outcome of {command}"), |seen| seen.outcomes(command).first().cloned())
    }

    pub(crate) fn reached(&self, attempt: u64, state: &str) {
        self.wait(&format!("{attempt} to reach {state}"), |seen| seen.reached(attempt, state).then_some(()));
    }
}

impl Service {
    fn greet(
        &self,
        hello: Hello,
        session: Option<mpsc::Sender<Result<ControllerMessage, Status>>>,
    ) -> Vec<ControllerMessage> {
        let mut seen = self.0.seen.lock().unwrap();
        seen.hellos.push(hello);
        seen.session = session;
        let welcome = Said::Welcome(Welcome { resume_after: seen.high(), report_every_ms: 0 });
        let open =
            seen.open.iter().filter(|(command, _)| seen.outcomes(**command).is_empty()).map(|(_, said)| said.clone());
        let said: Vec<Said> = std::iter::once(welcome).chain(open).collect();
        self.0.changed.notify_all();
        said.into_iter().map(|said| ControllerMessage { epoch: seen.epoch, body: Some(said) }).collect()
    }

    /// Stores a message; the answer, if there is to be one.
    fn store(&self, message: DeviceMessage) -> Option<ControllerMessage> {
        let mut seen = self.0.seen.lock().unwrap();
        if seen.deaf {
            return None;
        }
        if message.sequence > seen.high() {
            seen.messages.insert(message.sequence, message);
        }
        self.0.changed.notify_all();
        Some(ControllerMessage { epoch: seen.epoch, body: Some(Said::Ack(Ack { sequence: seen.high() })) })
    }
}

#[tonic::async_trait]
impl DeviceLink for Service {
    type SessionStream = ReceiverStream<Result<ControllerMessage, Status>>;
    type FetchStream = ReceiverStream<Result<Chunk, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<DeviceMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let (out, outgoing) = mpsc::channel(64);
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let answers = match message.body {
                    Some(Body::Hello(hello)) => service.greet(hello, Some(out.clone())),
                    _ => service.store(message).into_iter().collect(),
                };
                for answer in answers {
                    if out.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn poll(&self, request: Request<PollRequest>) -> Result<Response<PollResponse>, Status> {
        let PollRequest { hello, messages } = request.into_inner();
        let mut answers = self.greet(hello.unwrap(), None);
        answers.extend(messages.into_iter().filter_map(|message| self.store(message)));
        Ok(Response::new(PollResponse { messages: answers }))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let FetchRequest { file, offset } = request.into_inner();
        let bytes =
            self.0.seen.lock().unwrap().files.get(&file).cloned().ok_or_else(|| Status::not_found(file.clone()))?;
        let (out, outgoing) = mpsc::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            let index = service.0.seen.lock().unwrap().fetched.len();
            service.0.seen.lock().unwrap().fetched.push((file.clone(), offset, 0));
            let mut at = offset;
            for data in bytes[usize::try_from(offset).unwrap().min(bytes.len())..].chunks(1024) {
                let target = file.starts_with("targets/");
                while target && service.0.seen.lock().unwrap().hold_at.is_some_and(|hold| at >= hold) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    if out.is_closed() {
                        service.0.seen.lock().unwrap().left_while_held += 1;
                        service.0.changed.notify_all();
                        return;
                    }
                }
                let broken = {
                    let mut seen = service.0.seen.lock().unwrap();
                    let broken = target && seen.break_at.is_some_and(|stop| at >= stop);
                    if broken {
                        seen.break_at = None;
                    } else {
                        seen.fetched[index].2 += data.len() as u64;
                    }
                    broken
                };
                service.0.changed.notify_all();
                let piece = Chunk { data: data.to_vec(), total: bytes.len() as u64 };
                let sent = out.send(if broken { Err(Status::unavailable("broken off")) } else { Ok(piece) }).await;
                if broken || sent.is_err() {
                    return;
                }
                at += data.len() as u64;
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
