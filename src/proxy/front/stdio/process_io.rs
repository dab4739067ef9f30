//! This process's own standard streams.
//!
//! tokio reads and writes them on threads of their own, which costs two wakes a line: more than all the rest that happens
//! to it. Where they are pipes or Unix sockets, as they are for a server that a client launched, the system says when they
//! are ready. A tapline that a client launched runs on one thread for the same reason: a call then takes 11 µs in place of 60.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::proxy::front::stdio::StdioEnds;

/// The stdin of this process, where the client's lines come from.
pub type StdioInput = Box<dyn AsyncRead + Send + Unpin>;
/// The stdout of this process, where lines for the client go.
pub type StdioOutput = Box<dyn AsyncWrite + Send + Unpin>;

impl StdioEnds<StdioInput, StdioOutput, tokio::io::Stderr> {
    /// The standard streams of this process. stderr stays as it is: others in the process write to it, too.
    pub fn of_process() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let input = input(stdin.as_fd()).unwrap_or_else(|_| Box::new(tokio::io::stdin()));
        // What is set on the one would be set on the other.
        let alone = !same_file(stdout.as_fd(), stderr.as_fd());
        let output = if alone { output(stdout.as_fd()).ok() } else { None };
        let output = output.unwrap_or_else(|| Box::new(tokio::io::stdout()));
        Self { input, output, errors: tokio::io::stderr() }
    }
}

/// Fails where it is a file or a terminal, which others share and which are never anything but ready.
fn input(fd: BorrowedFd<'_>) -> io::Result<StdioInput> {
    match pipe::Receiver::from_owned_fd(fd.try_clone_to_owned()?) {
        Ok(pipe) => Ok(Box::new(pipe)),
        Err(_) => Ok(Box::new(socket(fd.try_clone_to_owned()?)?)),
    }
}

fn output(fd: BorrowedFd<'_>) -> io::Result<StdioOutput> {
    match pipe::Sender::from_owned_fd(fd.try_clone_to_owned()?) {
        Ok(pipe) => Ok(Box::new(pipe)),
        Err(_) => Ok(Box::new(socket(fd.try_clone_to_owned()?)?)),
    }
}

/// Node.js gives its children sockets for pipes.
fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = StdUnixStream::from(fd);
    socket.local_addr()?;
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

fn same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Whether our stdin and stdout block, as it was when this was made; dropped, it is so again. Others may hold the same pipe,
/// and read on when we are gone.
pub struct BlockingFlags([Option<OFlags>; 2]);

impl BlockingFlags {
    /// Notes how stdin, stdout and stderr are set, to set them back in the end.
    pub fn remember() -> Self {
        Self([fcntl_getfl(io::stdin()).ok(), fcntl_getfl(io::stdout()).ok()])
    }
}

impl Drop for BlockingFlags {
    fn drop(&mut self) {
        let Self([stdin, stdout]) = self;
        // A closed descriptor has no flags to set.
        let _ = stdin.map(|flags| fcntl_setfl(io::stdin(), flags));
        let _ = stdout.map(|flags| fcntl_setfl(io::stdout(), flags));
    }
}
