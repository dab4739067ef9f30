//! HTTP/1.1 on a bare socket, so that a test sees every byte.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// The first line of a request or response, and its headers in order.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The word in the middle: the status of a response, the path of a request.
    pub(crate) fn second_word(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Length(usize),
    Chunks,
    Close,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: BytesMut::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Closes with a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// `None` where the connection ends before a head begins.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head = self.buffer.split_to(end + 4);
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(": ").unwrap_or((line, "")));
        Ok(Some(Head { start, headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }))
    }

    /// What comes next of a body; `None` at its end. An end before its time is an error.
    pub(crate) async fn piece(&mut self, ending: &mut Ending) -> io::Result<Option<Bytes>> {
        match ending {
            Ending::Length(0) => Ok(None),
            Ending::Length(left) => {
                if self.buffer.is_empty() && !self.fill().await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let piece = self.buffer.split_to(self.buffer.len().min(*left)).freeze();
                *left -= piece.len();
                Ok(Some(piece))
            }
            Ending::Chunks => self.chunk().await,
            Ending::Close => {
                if self.buffer.is_empty() && !self.fill().await? {
                    return Ok(None);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
        }
    }

    pub(crate) async fn body(&mut self, mut ending: Ending) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece(&mut ending).await? {
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let line = self.until(b"\r\n").await?;
        let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap(), 16).unwrap();
        while self.buffer.len() < length + 2 {
            self.must_fill().await?;
        }
        let chunk = self.buffer.split_to(length).freeze();
        drop(self.buffer.split_to(2));
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Bytes> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, end) {
                let line = self.buffer.split_to(at).freeze();
                drop(self.buffer.split_to(end.len()));
                return Ok(line);
            }
            self.must_fill().await?;
        }
    }

    async fn must_fill(&mut self) -> io::Result<()> {
        if self.fill().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// `false` at the end of the connection.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}
