//! Sessions by the thousand that say nothing: what each costs in memory, with an open stream and without.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::client::{Client, ECHO, INITIALIZE};
use crate::process::{Cpus, Peer};
use crate::table::{Line, Row};

/// More would need more file descriptors than a process is given by default: each is three, two of them tapline's.
const SESSIONS: usize = 9_500;
/// After so long a session is idle, and not only between two messages: tapline looks every five seconds.
const AT_REST: Duration = Duration::from_secs(12);
/// Messages that fill what tapline remembers for screens, which is bounded and no session's.
const WARM_UP: usize = 11_000;

/// Sessions that are open and have no connection.
pub(crate) fn without_streams(sessions: usize) -> Option<Row> {
    let tapes = tempfile::tempdir().unwrap();
    let upstream = Peer::start("upstream", &[], Cpus::All);
    let tapline = Peer::start("tapline", &[&upstream.url(), tapes.path().to_str().unwrap()], Cpus::All);
    warm_up(tapline.address);
    let before = tapline.settled_memory()?;
    let mut stream = TcpStream::connect(tapline.address).unwrap();
    for _ in 0..sessions {
        initialize(&mut stream, tapline.address);
    }
    std::thread::sleep(AT_REST);
    let each = (tapline.settled_memory()? - before) / sessions as f64;
    Some(Row {
        what: format!("{} idle sessions, no stream", grouped(sessions)),
        unit: "KiB each",
        direct: None,
        pass_through: f64::NAN,
        tapline: each / 1024.0,
        ratio: f64::NAN,
        line: Line::AtMost(2.0),
    })
}

/// Sessions with an open GET stream each.
pub(crate) fn with_streams(sessions: usize) -> Option<Row> {
    let tapes = tempfile::tempdir().unwrap();
    let mut each = [0.0; 2];
    for (each, role) in each.iter_mut().zip(["pass-through", "tapline"]) {
        let upstream = Peer::start("upstream", &[], Cpus::All);
        let arguments = [upstream.url(), tapes.path().to_str().unwrap().to_owned()];
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).take(if role == "tapline" { 2 } else { 1 }).collect();
        let peer = Peer::start(role, &arguments, Cpus::All);
        warm_up(peer.address);
        let before = peer.settled_memory()?;
        let streams: Vec<_> = (0..sessions).map(|_| listen(peer.address)).collect();
        std::thread::sleep(AT_REST);
        *each = (peer.settled_memory()? - before) / sessions as f64 / 1024.0;
        drop(streams);
    }
    let [pass_through, tapline] = each;
    let (what, ratio) = (format!("{} idle sessions, a GET each", grouped(sessions)), tapline / pass_through);
    Some(Row { what, unit: "KiB each", direct: None, pass_through, tapline, ratio, line: Line::AtMostTimes(1.3) })
}

/// As many sessions as are asked for by default, or fewer where the process may not have so many files.
pub(crate) fn most(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(500) / 2;
    wanted.min(SESSIONS).min(most)
}

fn warm_up(address: SocketAddr) {
    let mut client = Client::connect(address).unwrap();
    let mut call = client.prepare(ECHO, 0);
    (0..WARM_UP).for_each(|_| client.call(&mut call, |_| {}).unwrap());
}

/// A session whose client listens.
fn listen(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let session = initialize(&mut stream, address);
    let request = format!(
        "GET /mcp HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nmcp-session-id: {session}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 200"), "the stream is open");
    stream
}

/// Shakes hands over a connection that others may use after it; gives the session's id.
fn initialize(stream: &mut TcpStream, address: SocketAddr) -> String {
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nuser-agent: bench/1\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{INITIALIZE}",
        INITIALIZE.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let head = head(stream);
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let length: usize = field("content-length:").parse().unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
    field("mcp-session-id:")
}

/// The head of an answer, and nothing beyond it: there is no buffer for each of thousands of connections.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn grouped(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}
