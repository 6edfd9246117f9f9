//! A socket that does not wait for ever for its other side to read.
//!
//! Whoever asks and never reads the answer would hold it in memory, and a place among the
//! connections, for as long as they like. So while bytes wait to be written, [`TAKEN_MIN`] of them
//! have to go within a set time; else writing fails, and the connection with it. What the system's
//! own buffers have taken counts as gone: they are bounded. Nothing here limits reading.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What has to go within the time, while so much waits: 64 KiB.
pub const TAKEN_MIN: usize = 64 << 10;

/// See the module.
pub struct Impatient<S> {
    socket: S,
    patience: Duration,
    released: Release,
    /// Since something waits to be written.
    waiting: Option<Waiting>,
}

/// Ends the impatience, once a protocol that has its own has taken the socket over.
#[derive(Clone, Default)]
pub struct Release(Arc<AtomicBool>);

struct Waiting {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

impl Release {
    /// From now on the socket waits as long as its owner does.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<S> Impatient<S> {
    /// A socket that has [`TAKEN_MIN`] taken within `patience`.
    pub fn new(socket: S, patience: Duration, released: Release) -> Impatient<S> {
        Impatient { socket, patience, released, waiting: None }
    }

    fn after(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Ok(bytes)) => {
                self.taken(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Ready(Err(ready!(self.tired(cx)))),
        }
    }

    fn taken(&mut self, bytes: usize) {
        if let Some(waiting) = &mut self.waiting {
            waiting.taken = waiting.taken.saturating_add(bytes);
            if waiting.taken >= TAKEN_MIN {
                self.waiting = None;
            }
        }
    }

    /// Ready when too little went in too long a time.
    fn tired(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.released.0.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let patience = self.patience;
        let begin = || Waiting { until: Box::pin(sleep(patience)), taken: 0 };
        ready!(self.waiting.get_or_insert_with(begin).until.as_mut().poll(cx));
        let why = "the other side does not read what it asked for";
        Poll::Ready(io::Error::new(ErrorKind::TimedOut, why))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.after(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.after(cx, wrote)
    }

    /// Whoever flushes has nothing more that waits.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.socket).poll_flush(cx) {
            Poll::Pending => Poll::Ready(Err(ready!(this.tired(cx)))),
            flushed => {
                this.waiting = None;
                flushed
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
