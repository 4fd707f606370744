//! The dashboard of a world behind its real TLS, and plain clients of it.

use crate::world::World;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use slacktide_live_bridge::dashboard;
use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{
    Authority, ClientFiles, Identity, Lifetimes, Limits, Role, ServerFiles, ServerTrust, listen,
};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

/// The header that our page sends.
pub(crate) const OURS: &str = "x-slacktide: test\r\n";

pub(crate) fn person(name: &str, role: Role) -> Identity {
    Identity::Operator { name: name.to_owned(), role }
}

/// A dashboard that is served.
pub(crate) struct Door {
    pub(crate) authority: Authority,
    pub(crate) trust: Arc<ServerTrust>,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Door {
    pub(crate) fn open(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = folder.path().join("pki");
        let authority = Authority::init(&pki, &"fleet.test".parse().unwrap(), Lifetimes::default()).unwrap();
        let own = Subject::new(Identity::Controller("main".to_owned())).at(&["127.0.0.1", "localhost"]);
        let new = authority.issue(&own).unwrap();
        let files = ClientFiles::in_folder(&folder.path().join("controller"));
        files.write_new(&new.key, &new.issued.certificate, &authority.authorities_pem().unwrap()).unwrap();
        let trust = ServerTrust::open(ServerFiles::in_folders(&folder.path().join("controller"), &pki)).unwrap();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let browsers = trust.browsers(listener, Limits::default(), Arc::default());
        let controller = Arc::clone(&world.controller);
        tokio::spawn(async move { dashboard::serve(&controller, browsers).await.unwrap() });
        Self { authority, trust, address, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn client(&self, identity: Identity) -> Client {
        let new = self.authority.issue(&Subject::new(identity)).unwrap();
        let pem = |text: &str| -> Vec<CertificateDer<'static>> {
            CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap).collect()
        };
        let mut roots = rustls::RootCertStore::empty();
        for root in pem(&self.authority.authorities_pem().unwrap()) {
            roots.add(root).unwrap();
        }
        let key = PrivateKeyDer::from_pem_slice(new.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(pem(&new.issued.certificate), key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Client { config: Arc::new(config), address: self.address, serial: new.issued.entry.serial }
    }
}

/// Somebody with a certificate and no browser.
#[derive(Clone)]
pub(crate) struct Client {
    config: Arc<rustls::ClientConfig>,
    address: SocketAddr,
    pub(crate) serial: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&self) -> String {
        self.json()["error"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await.unwrap()
    }

    /// HTTP/1.0, so that a body ends where the connection does.
    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await;
        let (host, length) = (self.address, body.len());
        let request =
            format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = self.send(method, path, headers, body).await;
        let mut text = Vec::new();
        let read = stream.read_to_end(&mut text).await;
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {read:?} {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "", "").await
    }

    pub(crate) async fn post(&self, path: &str) -> Reply {
        self.ask("POST", path, OURS, "").await
    }

    pub(crate) async fn events(&self, headers: &str) -> Events {
        Events { lines: BufReader::new(self.send("GET", "/api/events", headers, "").await) }
    }

    /// Offers the dashboard over plain http on this machine, with this certificate, to a browser that has none.
    pub(crate) async fn forward(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = self.clone();
        tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let client = client.clone();
                tokio::spawn(async move {
                    let mut tls = client.connect().await;
                    let _ = tokio::io::copy_bidirectional(&mut plain, &mut tls).await;
                });
            }
        });
        address
    }
}

/// Server-sent events as they come.
pub(crate) struct Events {
    lines: BufReader<TlsStream<TcpStream>>,
}

impl Events {
    /// The next event of a name: its data and its id.
    pub(crate) async fn next(&mut self, name: &str) -> (Value, Option<String>) {
        let read = async {
            let (mut event, mut id) = (String::new(), None);
            loop {
                let mut line = String::new();
                assert!(self.lines.read_line(&mut line).await.unwrap() > 0, "the events have ended");
                let line = line.trim_end();
                if let Some(name) = line.strip_prefix("event: ") {
                    event = name.to_owned();
                } else if let Some(number) = line.strip_prefix("id: ") {
                    id = Some(number.to_owned());
                } else if line.is_empty() {
                    (event, id) = (String::new(), None);
                }
                if let Some(data) = line.strip_prefix("data: ").filter(|_| event == name) {
                    return (serde_json::from_str(data).unwrap(), id.take());
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap_or_else(|_| panic!("no `{name}` came"))
    }
}
