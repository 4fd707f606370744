//! Connections of browsers for axum, each with the peer of its certificate.

use crate::trust::{Browser, Connection, Identity, Incoming, Peer};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_stream::StreamExt as _;

/// Whoever is not let in has this long to hear it: the places are for people.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who is at the other end, for handlers.
#[derive(Debug, Clone)]
pub(super) struct Visitor(pub(super) Peer);

/// The listener.
#[derive(Debug)]
pub(super) struct Door(pub(super) Incoming<Browser>);

impl Listener for Door {
    type Io = Stay;
    type Addr = Peer;

    async fn accept(&mut self) -> (Stay, Peer) {
        loop {
            match self.0.next().await {
                Some(Ok(connection)) => {
                    let Browser(peer) = connection.peer().clone();
                    let is_person = matches!(peer.identity, Identity::Operator { .. });
                    let until = (!is_person).then(|| Box::pin(sleep(FAREWELL)));
                    return (Stay { connection, until }, peer);
                }
                // The door counts and tells its refusals itself.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Connected<IncomingStream<'_, Door>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.remote_addr().clone())
    }
}

/// A connection that may have an end.
#[derive(Debug)]
pub(super) struct Stay {
    connection: Connection<Browser>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Stay {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.until.as_mut().is_some_and(|until| until.as_mut().poll(context).is_ready())
    }
}

impl AsyncRead for Stay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stay {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
