//! Sessions by the thousand that say nothing: what each costs in memory, with an open stream and without.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::client::{Client, ECHO, INITIALIZE};
use crate::process::{Cpus, Peer, Way};
use crate::table::{FLOOR, HEADLESS, Row, Target, only};

/// More would need more file descriptors than a process is given by default: each is three, two of them tapline's.
const SESSIONS: usize = 9_500;
/// After so long a session is idle, and not only between two messages: tapline looks every five seconds.
const AT_REST: Duration = Duration::from_secs(12);
/// Calls that fill what tapline remembers for screens, which is bounded and no session's. Each has headers of its own, as those
/// have that begin a session.
const WARM_UP: usize = 11_000;

/// What each further session costs that is open and has no connection. Half of them are open already: what is remembered of sessions
/// beside them (those that lint judges, the latest findings) is bounded, and full by then. All of them stay in memory.
pub(crate) fn without_streams(sessions: usize) -> Option<Row> {
    let upstream = Peer::start("upstream", &[], Cpus::All);
    let tapline = Peer::tapline(Way::Headless, &upstream.url(), Cpus::All);
    warm_up(tapline.address);
    let half = sessions / 2;
    let mut stream = TcpStream::connect(tapline.address).unwrap();
    let mut open = || {
        (0..half).for_each(|_| drop(initialize(&mut stream, tapline.address)));
        std::thread::sleep(AT_REST);
        tapline.settled_memory()
    };
    let before = open()?;
    let each = (open()? - before) / half as f64;
    let what = format!("{} more idle sessions, no stream", grouped(half));
    Some(Row::plain(what, "KiB each", only(HEADLESS, each / 1024.0), Target::AtMost(1.0)))
}

/// Sessions with an open GET stream each.
pub(crate) fn with_streams(sessions: usize) -> Option<Row> {
    let mut figures = only(HEADLESS, f64::NAN);
    for column in [FLOOR, HEADLESS] {
        let upstream = Peer::start("upstream", &[], Cpus::All);
        let peer = match column {
            FLOOR => Peer::start("pass-through", &[&upstream.url()], Cpus::All),
            _ => Peer::tapline(Way::Headless, &upstream.url(), Cpus::All),
        };
        warm_up(peer.address);
        let before = peer.settled_memory()?;
        let streams: Vec<_> = (0..sessions).map(|_| listen(peer.address)).collect();
        std::thread::sleep(AT_REST);
        figures[column] = (peer.settled_memory()? - before) / sessions as f64 / 1024.0;
        drop(streams);
    }
    let what = format!("{} idle sessions, a GET each", grouped(sessions));
    Some(Row::plain(what, "KiB each", figures, Target::AtMostTimes(1.2)))
}

/// As many sessions as are asked for by default, or fewer where the process may not have so many files.
pub(crate) fn most(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(500) / 2;
    wanted.min(SESSIONS).min(most)
}

fn warm_up(address: SocketAddr) {
    let mut client = Client::connect(address).unwrap();
    for number in 0..WARM_UP {
        let mut call = client.prepare_with(ECHO, 0, 0, &format!("x-number: {number}\r\n"));
        client.call(&mut call, |_| {}).unwrap();
    }
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
