//! At the limit of file descriptors: a server in a process of its own, because the limit is a process's.

use crate::service::{Link, Taken};
use crate::world::{Raw, Shown, device, prepare, server_files};
use slacktide_live_bridge::trust::{Authority, Counters, Limits, ServerTrust, listen};
use slacktide_live_bridge::wire::device_link_server::DeviceLinkServer;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "SLACKTIDE_TEST_FOLDER";
const DESCRIPTORS: u64 = 80;

/// Not a test by itself: the server that the next one starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a server for the test below"]
async fn server() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let limit = rustix::process::Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let authority = Arc::new(Authority::open(&folder.join("pki")).unwrap());
    let trust = ServerTrust::open(server_files(folder)).unwrap();
    let counters = Arc::new(Counters::default());
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    println!("\nlistening {}", listener.local_addr().unwrap());
    let limits = Limits { first_byte: Duration::from_secs(120), ..Limits::default() };
    let incoming = trust.acceptor(listener, limits, Arc::clone(&counters));
    let link = Link { authority, counters, taken: Taken::default() };
    let server = tonic::transport::Server::builder().add_service(DeviceLinkServer::new(link));
    server.serve_with_incoming_shutdown(incoming, std::future::pending()).await.unwrap();
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Time of the processor so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }
}

fn start(folder: &Path) -> (Server, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "descriptors::server", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = Server(child);
    let address = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening ")?.parse().ok());
    (server, address.expect("the server says where it listens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_descriptor_left_the_loop_idles_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let authority = prepare(folder.path());
    let shown = Shown::issued(&authority, &device("cam-1"));
    let (server, address) = start(folder.path());
    let raw = Raw::new(&authority, Some(&shown), address);
    raw.poll().await.expect("before the crowd");
    let crowd: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(address).unwrap()).collect();
    let start = Instant::now();
    while server.descriptors() < usize::try_from(DESCRIPTORS).unwrap() {
        assert!(start.elapsed() < Duration::from_secs(60), "the limit is not reached: {}", server.descriptors());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = server.cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = server.cpu() - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} of processor in 2 s of waiting");
    drop(crowd);
    let back = Instant::now();
    raw.poll().await.expect("after the crowd");
    println!("at the limit: {spent:?} of processor in 2 s; served again after {:?}", back.elapsed());
}
