//! A browser without a screen, driven over its DevTools protocol: just enough of WebSocket for that.

use serde_json::{Value, json};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Where the browser may be named.
const NAMED: &str = "SLACKTIDE_BROWSER";

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os(NAMED) {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["chromium", "chromium-browser", "google-chrome", "chrome"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| {
        panic!("no browser: install Chromium (Debian: apt-get install chromium), or name one in {NAMED}")
    })
}

/// A browser; it ends with its value.
pub(crate) struct Browser {
    child: Child,
    socket: Socket,
    next: u64,
    _profile: TempDir,
}

/// A page in it.
#[derive(Clone)]
pub(crate) struct Tab(String);

impl Drop for Browser {
    fn drop(&mut self) {
        // It leads a process group of its own: nobody else is in it.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program())
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let port_file = profile.path().join("DevToolsActivePort");
        let began = Instant::now();
        let (port, path) = loop {
            let text = std::fs::read_to_string(&port_file).unwrap_or_default();
            if let Some((port, path)) = text.trim_end().split_once('\n') {
                break (port.parse::<u16>().unwrap(), path.to_owned());
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the browser does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let socket = Socket::open(port, &path).await;
        Self { child, socket, next: 0, _profile: profile }
    }

    /// Sends a command and waits for its answer; events are passed over.
    pub(crate) async fn command(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        let heard = self.exchange(tab, method, parameters).await;
        assert!(heard["error"].is_null(), "{method}: {heard}");
        heard["result"].clone()
    }

    async fn exchange(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(Tab(session)) = tab {
            message["sessionId"] = json!(session);
        }
        self.socket.send(&message.to_string()).await;
        loop {
            let heard = tokio::time::timeout(Duration::from_secs(60), self.socket.receive()).await.unwrap();
            let heard: Value = serde_json::from_str(&heard).unwrap();
            if heard["id"] == self.next {
                return heard;
            }
        }
    }

    pub(crate) async fn open(&mut self, url: &str) -> Tab {
        let target = self.command(None, "Target.createTarget", json!({"url": url})).await;
        let parameters = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.command(None, "Target.attachToTarget", parameters).await;
        Tab(session["sessionId"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.command(Some(tab), "Runtime.evaluate", parameters).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression has a value.
    pub(crate) async fn wait_for(&mut self, tab: &Tab, expression: &str, value: &str, limit: Duration) {
        let began = Instant::now();
        loop {
            // A page that is only loading has nothing to evaluate in yet.
            let parameters = json!({"expression": expression, "returnByValue": true});
            let heard = self.exchange(Some(tab), "Runtime.evaluate", parameters).await;
            let is = &heard["result"]["result"]["value"];
            if is == value {
                return;
            }
            if began.elapsed() > limit {
                let page = self.evaluate(tab, "document.body.innerText").await;
                panic!("`{expression}` is {is} and not `{value}` after {limit:?}; the page: {page}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A click with the mouse in the middle of an element.
    pub(crate) async fn click(&mut self, tab: &Tab, selector: &str) {
        let find = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"
        );
        let at = self.evaluate(tab, &find).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let parameters = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.command(Some(tab), "Input.dispatchMouseEvent", parameters).await;
        }
    }
}

/// A WebSocket of a client: whole text messages there and back.
struct Socket(BufReader<TcpStream>);

impl Socket {
    async fn open(port: u16, path: &str) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    /// One frame, masked as clients must, with a mask of zeros.
    async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn receive(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let [first, second] = self.0.read_u16().await.unwrap().to_be_bytes();
            let length = match second & 0x7f {
                126 => u64::from(self.0.read_u16().await.unwrap()),
                127 => self.0.read_u64().await.unwrap(),
                length => u64::from(length),
            };
            let mut part = vec![0; length as usize];
            self.0.read_exact(&mut part).await.unwrap();
            match first & 0x0f {
                0 | 1 => text.extend(part),
                8 => panic!("the browser hung up"),
                _ => continue,
            }
            if first & 0x80 != 0 {
                return String::from_utf8(text).unwrap();
            }
        }
    }
}
