//! A socket that does not wait for ever for its other side to read, and lets it hear why it is closed.
//!
//! Whoever asks and never reads the answer would hold it in memory, and a place among the
//! connections, for as long as they like. So while bytes wait to be written, [`TAKEN_MIN`] of them
//! have to go within a set time; else writing fails, and the connection with it. What the system's
//! own buffers have taken counts as gone: they are bounded. Nothing here limits reading.
//!
//! A request that is refused before it was read would be closed with bytes on their way, and the
//! system answers those with a reset: the other side loses the refusal, or finds its own writing
//! failed and never looks for one. So such a socket is closed in one direction first, and what still
//! comes is read and dropped, up to [`LINGER_BYTES`] and [`LINGER`].

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

/// How long what still comes is read after a refusal: 1 s.
pub const LINGER: Duration = Duration::from_secs(1);

/// The most of it: 4 MiB.
pub const LINGER_BYTES: usize = 4 << 20;

/// See the module.
pub struct Impatient<S> {
    socket: S,
    patience: Duration,
    control: Control,
    /// Since something waits to be written.
    waiting: Option<Waiting>,
    /// Since it was closed in one direction.
    lingering: Option<Lingering>,
}

/// Says how a socket is treated.
#[derive(Clone, Default)]
pub struct Control(Arc<Flags>);

#[derive(Default)]
struct Flags {
    released: AtomicBool,
    lingers: AtomicBool,
}

struct Waiting {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Control {
    /// From now on the socket waits as long as its owner does: a protocol has taken it over that
    /// has bounds of its own.
    pub fn release(&self) {
        self.0.released.store(true, Ordering::Relaxed);
    }

    /// Something was refused, and may not have been read.
    pub fn linger(&self) {
        self.0.lingers.store(true, Ordering::Relaxed);
    }
}

impl<S> Impatient<S> {
    /// A socket that has [`TAKEN_MIN`] taken within `patience`.
    pub fn new(socket: S, patience: Duration, control: Control) -> Impatient<S> {
        Impatient { socket, patience, control, waiting: None, lingering: None }
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
        if self.control.0.released.load(Ordering::Relaxed) {
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

impl<S: AsyncRead + Unpin> Impatient<S> {
    /// Ready when the other side has ended too, or was waited for long enough.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let begin = || Lingering { until: Box::pin(sleep(LINGER)), bytes: 0 };
        let lingering = self.lingering.get_or_insert_with(begin);
        while lingering.bytes < LINGER_BYTES && lingering.until.as_mut().poll(cx).is_pending() {
            let mut bytes = [0; 8 << 10];
            let mut bytes = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut bytes));
            if read.is_err() || bytes.filled().is_empty() {
                break;
            }
            lingering.bytes = lingering.bytes.saturating_add(bytes.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
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
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        if this.control.0.lingers.load(Ordering::Relaxed) {
            this.linger(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
