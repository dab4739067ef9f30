//! Tapes that answer clients because a person at the screen wants it: each at an address of its own, behind the spine that everything
//! passes. What is said there is seen, held, ruled and recorded as at any server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::front::FrontRules;
use crate::event::{Level, LogLine, ServeRequest, ServedTape};
use crate::json::PathPattern;
use crate::proxy::front::routes::Mounts;
use crate::tape::mock::{MockOptions, MockedFields, TapeMock};

/// Of this machine, and whichever is free.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The tapes that are served.
#[derive(Clone, Default)]
pub(super) struct ServedTapes {
    running: Arc<Mutex<BTreeMap<PathBuf, RunningMock>>>,
    /// Where each was served last: clients that know the address find it there again.
    addresses: Arc<Mutex<BTreeMap<PathBuf, SocketAddr>>>,
}

struct RunningMock {
    mock: Arc<TapeMock>,
    url: String,
    mounts: Arc<Mounts>,
    stop: CancellationToken,
}

impl ServedTapes {
    pub(super) fn list(&self) -> Vec<ServedTape> {
        let of = |(tape, running): (&PathBuf, &RunningMock)| {
            let tally = running.mock.tally();
            let (tape, url) = (tape.clone(), running.url.clone());
            ServedTape { tape, url, answered: tally.answered, missed: tally.missed }
        };
        self.running.lock().iter().map(of).collect()
    }

    /// Changes with what [`Self::list`] says.
    pub(super) fn changes(&self) -> Vec<u64> {
        let counts = |served: ServedTape| [1, served.answered as u64, served.missed as u64];
        self.list().into_iter().flat_map(counts).collect()
    }

    /// Lets no new client in.
    pub(super) fn stop_accepting(&self) {
        self.running.lock().values().for_each(|running| running.stop.cancel());
    }
}

impl ServedTapes {
    /// Begins to serve a tape, and says where, or why not.
    pub(super) async fn serve(
        &self,
        front: &Arc<FrontRules>,
        mounts: &Mounts,
        asked: ServeRequest,
        ignore: Vec<PathPattern>,
    ) {
        let name = file_name(&asked.tape);
        let (level, text) = match serve(self, front, mounts, asked, ignore).await {
            Ok(url) => (Level::Info, format!("{name} is served at {url}")),
            Err(why) => (Level::Warn, format!("{name} is not served: {why}")),
        };
        mounts.proxy().log(LogLine::new(level, "mock", text));
    }

    /// Serves a tape no more, and says what came of it.
    pub(super) async fn end(&self, mounts: &Mounts, tape: &Path) {
        let (name, running) = (file_name(tape), self.running.lock().remove(tape));
        let Some(running) = running else {
            return mounts.proxy().log(LogLine::new(Level::Warn, "mock", format!("{name} is not served")));
        };
        running.stop.cancel();
        for connection in running.mounts.live() {
            running.mounts.close(connection.session.id(), "the tape is served no more").await;
        }
        mounts.let_go(&running.mounts);
        let text = format!("{name} is served no more: {}", running.mock.tally());
        mounts.proxy().log(LogLine::new(Level::Info, "mock", text));
    }
}

/// Returns where it is served.
async fn serve(
    served: &ServedTapes,
    front: &Arc<FrontRules>,
    mounts: &Mounts,
    asked: ServeRequest,
    ignore: Vec<PathPattern>,
) -> Result<String, String> {
    let ServeRequest { tape, speed, order, repeats, tells_nearest, .. } = asked;
    if let Some(running) = served.running.lock().get(&tape) {
        return Err(format!("it is already, at {}", running.url));
    }
    let fields = MockedFields { ignore, only: Vec::new() };
    let options = MockOptions { order, repeats, speed, fields, tells_nearest, ..MockOptions::default() };
    let path = tape.clone();
    let mock = tokio::task::spawn_blocking(move || TapeMock::open(&[path], options, None)).await;
    let mock = mock.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    for trouble in mock.troubles() {
        mounts.proxy().log(LogLine::new(Level::Warn, "mock", trouble));
    }
    let before = served.addresses.lock().get(&tape).copied();
    let door = match front.listen(before.unwrap_or(ANY_PORT)).await {
        // Somebody else has it now.
        Err(_) if before.is_some() => front.listen(ANY_PORT).await,
        door => door,
    };
    let door = door.map_err(|error| error.to_string())?;
    let (address, stop, beside) = (door.address, CancellationToken::new(), mounts.beside("mock", mock.target()));
    front.open(beside.clone(), door, stop.clone());
    let url = beside.url(address);
    served.addresses.lock().insert(tape.clone(), address);
    served.running.lock().insert(tape, RunningMock { mock, url: url.clone(), mounts: beside, stop });
    Ok(url)
}

fn file_name(tape: &Path) -> String {
    tape.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
