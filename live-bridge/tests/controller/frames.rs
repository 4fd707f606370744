//! HTTP/2 frames written by hand over a device's TLS connection: what no library sends.

use super::ground::Ground;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame: type, flags, stream, payload.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, 0, stream, payload)
}

/// Opens a session's stream: the words are spelled out, without a table (RFC 7541, 6.2.2).
pub(crate) fn headers(stream: u32, is_whole: bool) -> Vec<u8> {
    // POST, https.
    let mut block = vec![0x83, 0x87];
    let mut literal = |index: &[u8], text: &str| {
        block.extend(index);
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    };
    literal(&[0x01], "localhost");
    literal(&[0x04], "/slacktide.v1.DeviceLink/Session");
    // content-type is entry 31 of the static table.
    literal(&[0x0f, 0x10], "application/grpc");
    block.extend([0x00, 2]);
    block.extend(b"te");
    block.push(8);
    block.extend(b"trailers");
    frame(1, if is_whole { 4 } else { 0 }, stream, &block)
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

pub(crate) fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

pub(crate) fn ping() -> Vec<u8> {
    frame(6, 0, 0, &[7; 8])
}

pub(crate) fn window_update() -> Vec<u8> {
    frame(8, 0, 0, &1_u32.to_be_bytes())
}

pub(crate) fn continuation(stream: u32) -> Vec<u8> {
    // One header of no meaning.
    frame(9, 0, stream, &[0x00, 1, b'x', 1, b'y'])
}

/// A connection as this device, greeted as HTTP/2 asks.
pub(crate) async fn connect(ground: &Ground, device: &str, address: SocketAddr) -> TlsStream<TcpStream> {
    use tokio::io::AsyncWriteExt as _;
    let file = |name: &str| ground.path(device).join("identity").join(name);
    let certificates = |name: &str| CertificateDer::pem_file_iter(file(name)).unwrap().map(Result::unwrap);
    let mut roots = rustls::RootCertStore::empty();
    certificates("authorities.pem").for_each(|root| roots.add(root).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            certificates("certificate.pem").collect(),
            PrivateKeyDer::from_pem_file(file("key.pem")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let host = ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(host, stream).await.unwrap();
    tls.write_all(&[PREFACE, &settings()].concat()).await.unwrap();
    tls
}
