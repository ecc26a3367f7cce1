//! Bytes of one connection, both ways, by `splice(2)`: they never enter this process.

use std::{
    io,
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_splice2::{AsyncReadFd, AsyncWriteFd, IsNotFile, SpliceIoCtx};

/// What may wait between both sockets, a direction. Its pages are the sender's own, so a peer that does not read pins
/// this much.
const PIPE_BYTES: usize = 256 << 10;

/// Carries bytes and ends between both until both have ended.
///
/// Both must be set to reset on drop ([`super::socket::set_up`]). A side that has got everything, its end included, is
/// set back to close cleanly; any other is left to be reset, because an end would tell it that it has got everything.
pub(super) async fn relay(client: &TcpStream, container: &TcpStream) -> io::Result<()> {
    let mut request = pin!(one_way(client, container));
    let mut response = pin!(one_way(container, client));
    // Once a side has ended, nobody reads from it, so its failure has to be watched for.
    tokio::select! {
        done = &mut request => {
            done?;
            tokio::select! {
                done = response => done,
                error = failure(client) => Err(error),
            }
        }
        done = &mut response => {
            done?;
            tokio::select! {
                done = request => done,
                error = failure(container) => Err(error),
            }
        }
    }
}

/// Carries bytes until `from` ends, then ends `to`.
async fn one_way(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut splice = SpliceIoCtx::prepare()?;
    // Never to grow it: that fails for an ordinary user with many pipes, for whom it is smaller from the start.
    if splice.pipe_size().get() > PIPE_BYTES {
        splice = splice.set_pipe_size(PIPE_BYTES)?;
    }
    let traffic = splice.into_io().execute(&mut Half(from), &mut Half(to)).await;
    traffic.into_result()?;
    let to = SockRef::from(to);
    to.shutdown(Shutdown::Write)?;
    to.set_linger(None)
}

/// Returns once `stream` has failed: its peer reset it, or no longer answers.
async fn failure(stream: &TcpStream) -> io::Error {
    match stream.ready(Interest::ERROR).await {
        Ok(_) => match stream.take_error() {
            Ok(Some(error)) | Err(error) => error,
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        },
        Err(error) => error,
    }
}

/// A stream that is shared by both directions and keeps its end to itself: tokio-splice2 ends the writer on any error,
/// which would look to the other side as if all had gone well.
struct Half<'a>(&'a TcpStream);

impl IsNotFile for Half<'_> {}

impl AsFd for Half<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncReadFd for Half<'_> {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn try_io_read<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::READABLE, f)
    }
}

impl AsyncWriteFd for Half<'_> {
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn try_io_write<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::WRITABLE, f)
    }
}

// Asked for by the traits above, and never called: bytes go by file descriptor.
impl AsyncRead for Half<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl AsyncWrite for Half<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
