//! This process's own standard streams.
//!
//! tokio reads and writes them on threads of their own, which costs two wakes a line: more than all the rest that happens
//! to it. Where they are pipes or sockets, as they are for a server that a client launched, the system says when they are
//! ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::retry_on_intr;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Ends;

/// Our stdin.
pub enum Input {
    Ready(Stream),
    Threaded(tokio::io::Stdin),
}

/// Our stdout.
pub enum Output {
    Ready(Stream),
    Threaded(tokio::io::Stdout),
}

impl Ends<Input, Output, tokio::io::Stderr> {
    /// Those of this process. stderr stays as it is: others in the process write to it, too.
    pub fn standard() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let input = Stream::of(stdin.as_fd()).map_or_else(|| Input::Threaded(tokio::io::stdin()), Input::Ready);
        // What is set on the one would be set on the other.
        let alone = !same_file(stdout.as_fd(), stderr.as_fd());
        let output = Stream::of(stdout.as_fd()).filter(|_| alone);
        let output = output.map_or_else(|| Output::Threaded(tokio::io::stdout()), Output::Ready);
        Self { input, output, errors: tokio::io::stderr() }
    }
}

/// A pipe or socket that does not block while we have it.
pub struct Stream {
    fd: AsyncFd<OwnedFd>,
    flags: OFlags,
}

impl Stream {
    /// Nothing where it is a file or a terminal, which others share and which are never anything but ready.
    fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        let kind = FileType::from_raw_mode(fstat(fd).ok()?.st_mode);
        if !matches!(kind, FileType::Fifo | FileType::Socket) {
            return None;
        }
        let flags = fcntl_getfl(fd).ok()?;
        let fd = AsyncFd::new(fd.try_clone_to_owned().ok()?).ok()?;
        fcntl_setfl(&fd, flags | OFlags::NONBLOCK).ok()?;
        Some(Self { fd, flags })
    }
}

impl Drop for Stream {
    /// The other ends of a shared pipe get back what they had.
    fn drop(&mut self) {
        let _ = fcntl_setfl(&self.fd, self.flags);
    }
}

fn same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(context))?;
            let read = ready.try_io(|fd| Ok(retry_on_intr(|| rustix::io::read(fd, buffer.initialize_unfilled()))?));
            if let Ok(read) = read {
                return Poll::Ready(read.map(|count| buffer.advance(count)));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.fd.poll_write_ready(context))?;
            if let Ok(written) = ready.try_io(|fd| Ok(retry_on_intr(|| rustix::io::write(fd, bytes))?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Ready(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Threaded(stdin) => Pin::new(stdin).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Ready(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Threaded(stdout) => Pin::new(stdout).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Ready(stream) => Pin::new(stream).poll_flush(context),
            Self::Threaded(stdout) => Pin::new(stdout).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Ready(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Threaded(stdout) => Pin::new(stdout).poll_shutdown(context),
        }
    }
}
