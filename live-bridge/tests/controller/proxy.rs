//! A network between devices and the controller that delays, stalls, resets, half-closes and throttles connections, as drawn from a seed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Numbers by chance, the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Clean,
    /// It is reset at once.
    Refused,
    /// Each portion comes so much later.
    Delay(Duration),
    /// After so many bytes of one direction nothing passes for so long.
    Stall(Way, u64, Duration),
    /// After so many bytes of one direction both ends see a reset.
    Reset(Way, u64),
    /// After so many bytes one direction ends; the other goes on.
    HalfClose(Way, u64),
    /// So many bytes a second, each way.
    Throttle(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

impl Fault {
    fn draw(chance: &mut Chance) -> Self {
        let way = if chance.below(2) == 0 { Way::Up } else { Way::Down };
        // Handshakes are some 2 kB, what an agent says hardly more, and a download 130 kB.
        let bytes = match (chance.below(3), way) {
            (0, _) => chance.below(2000),
            (_, Way::Up) => chance.below(5000),
            (1, _) => chance.below(8000),
            _ => chance.below(120_000),
        };
        match chance.below(12) {
            0 => Self::Clean,
            1 => Self::Refused,
            2 | 3 => Self::Delay(Duration::from_millis(5 + chance.below(60))),
            4 | 5 => Self::Stall(way, bytes, Duration::from_millis(200 + chance.below(2500))),
            6..=8 => Self::Reset(way, bytes),
            9 | 10 => Self::HalfClose(way, bytes),
            _ => Self::Throttle(20_000 + chance.below(200_000)),
        }
    }
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    /// No more faults for connections made from now on.
    is_calm: AtomicBool,
    connections: AtomicU64,
    /// Connections that met their fault.
    faults: AtomicU64,
    /// False while nobody reaches anybody.
    is_up: watch::Sender<bool>,
}

/// The network of one device.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A network to `controller`; every connection draws its fate from `seed` and its number.
    pub(crate) async fn start(controller: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_up, _) = watch::channel(true);
        let shared = Arc::new(Shared {
            seed,
            is_calm: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            is_up,
        });
        let task = tokio::spawn(accept(listener, controller, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// From now on it is a good network; what is under way still has its fate.
    pub(crate) fn calm(&self) {
        self.shared.is_calm.store(true, Ordering::Relaxed);
    }

    /// Connections break and none can be made.
    pub(crate) fn cut(&self) {
        self.shared.is_up.send_replace(false);
    }

    pub(crate) fn heal(&self) {
        self.shared.is_up.send_replace(true);
    }

    /// Connections made, and those of them that met a fault.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.connections.load(Ordering::Relaxed), self.shared.faults.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, controller: SocketAddr, shared: Arc<Shared>) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let Ok((device, _)) = listener.accept().await else { return };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        let calm = shared.is_calm.load(Ordering::Relaxed);
        let mut chance = Chance(shared.seed.wrapping_mul(1_000_003).wrapping_add(number));
        let fault = if calm { Fault::Clean } else { Fault::draw(&mut chance) };
        tasks.spawn(carry(device, controller, fault, Arc::clone(&shared)));
        while tasks.try_join_next().is_some() {}
    }
}

async fn carry(device: TcpStream, controller: SocketAddr, fault: Fault, shared: Arc<Shared>) {
    let mut is_up = shared.is_up.subscribe();
    if matches!(fault, Fault::Refused | Fault::Delay(_) | Fault::Throttle(_)) {
        shared.faults.fetch_add(1, Ordering::Relaxed);
    }
    let server = match TcpStream::connect(controller).await {
        Ok(server) if fault != Fault::Refused && *is_up.borrow() => server,
        _ => {
            device.set_zero_linger().ok();
            return;
        }
    };
    device.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_device, to_device) = device.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = Pump { from: from_device, to: to_server, way: Way::Up, passed: 0 };
    let mut down = Pump { from: from_server, to: to_device, way: Way::Down, passed: 0 };
    let is_broken = tokio::select! {
        ended = async { tokio::try_join!(up.run(fault), down.run(fault)) } => ended.is_err(),
        _ = is_up.wait_for(|is_up| !is_up) => true,
    };
    let is_met = match fault {
        Fault::Stall(way, at, _) | Fault::Reset(way, at) | Fault::HalfClose(way, at) => {
            (if way == Way::Up { up.passed } else { down.passed }) >= at
        }
        _ => false,
    };
    shared.faults.fetch_add(u64::from(is_met), Ordering::Relaxed);
    for half in [up, down] {
        if is_broken {
            // Zero seconds: the kernel drops what it has and says RST, and no orderly end before it.
            half.from.as_ref().set_zero_linger().ok();
            half.to.forget();
        }
    }
}

/// One direction of a connection.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    way: Way,
    passed: u64,
}

impl Pump {
    /// Carries bytes to the end. An error is a connection that is broken, by chance or by itself.
    async fn run(&mut self, fault: Fault) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let read = self.from.read(&mut buffer).await?;
            if read == 0 {
                return self.to.shutdown().await;
            }
            let mut bytes = &buffer[..read];
            match fault {
                Fault::Delay(by) => tokio::time::sleep(by).await,
                Fault::Throttle(per_s) => {
                    tokio::time::sleep(Duration::from_secs_f64(read as f64 / per_s as f64)).await;
                }
                Fault::Stall(way, at, by) if self.reaches(way, at, read) => {
                    self.send(&mut bytes, at).await?;
                    tokio::time::sleep(by).await;
                }
                Fault::Reset(way, at) if self.reaches(way, at, read) => {
                    self.send(&mut bytes, at).await?;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                Fault::HalfClose(way, at) if self.reaches(way, at, read) => {
                    self.send(&mut bytes, at).await?;
                    self.to.shutdown().await?;
                    // What else is said goes nowhere.
                    while self.from.read(&mut buffer).await? > 0 {}
                    return Ok(());
                }
                _ => {}
            }
            self.send(&mut bytes, u64::MAX).await?;
        }
    }

    /// Is the fault in this direction, and within the bytes that come now?
    fn reaches(&self, way: Way, at: u64, read: usize) -> bool {
        way == self.way && (self.passed..self.passed + read as u64).contains(&at)
    }

    /// Sends on up to byte `at` of the direction.
    async fn send(&mut self, bytes: &mut &[u8], at: u64) -> io::Result<()> {
        let count = usize::try_from(at.saturating_sub(self.passed)).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(count);
        self.to.write_all(now).await?;
        self.passed += count as u64;
        *bytes = later;
        Ok(())
    }
}
