//! Closing a connection so that the other side still reads what it was told.
//!
//! A socket that is closed while bytes lie in it unread is reset. A client that is refused in the middle of a large body, or of endless
//! headers, then sees its own write fail, and many say so in place of the status that explains it; some systems also discard what
//! the client has received and not yet read. So the last response is ended first, and what still comes is read for a while and thrown
//! away (RFC 9112 §9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a client may be silent before the connection is closed all the same.
const SILENCE: Duration = Duration::from_secs(1);

/// How long it may go on sending.
const LONGEST: Duration = Duration::from_secs(5);

/// A connection that is drained in the background when it is dropped before its client has closed it.
pub(super) struct Lingering(Option<TcpStream>);

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(self.get_mut().0.as_mut().expect("it is taken at the end alone"))
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(stream) = self.0.take() else { return };
        let is_open = match stream.try_read(&mut [0]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if let (true, Ok(runtime)) = (is_open, Handle::try_current()) {
            drop(runtime.spawn(timeout(LONGEST, drain(stream))));
        }
    }
}

/// Ends what we send, and reads until the other side has ended or says nothing any more.
async fn drain(mut stream: TcpStream) {
    let mut thrown_away = vec![0; 16 << 10];
    if stream.shutdown().await.is_ok() {
        while let Ok(Ok(1..)) = timeout(SILENCE, stream.read(&mut thrown_away)).await {}
    }
}

impl AsyncRead for Lingering {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, into)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A connection with a megabyte on its way to us, and its client.
    async fn sending() -> (Lingering, tokio::task::JoinHandle<(TcpStream, io::Result<()>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (mut stream, _) = listener.accept().await.expect("the connection");
        let sent = tokio::spawn(async move {
            let sent = client.write_all(&vec![b'x'; 8 << 20]).await;
            (client, sent)
        });
        stream.readable().await.expect("something to read");
        let mut some = [0; 100];
        stream.read_exact(&mut some).await.expect("a hundred bytes");
        stream.write_all(b"no").await.expect("room for two bytes");
        (Lingering::new(stream), sent)
    }

    #[tokio::test]
    async fn client_in_the_middle_of_a_body_reads_the_answer() {
        let (connection, sent) = sending().await;
        drop(connection);
        let (mut client, sent) = sent.await.expect("no panic");
        sent.expect("it is read to the end");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("no reset");
        assert_eq!(answer, "no");
    }
}
