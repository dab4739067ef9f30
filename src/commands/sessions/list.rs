//! Sessions as lines: a table for people, with fewer columns where the terminal is narrow, and JSON for scripts.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::Standing;
use crate::event::{Origin, Peer, SessionState, Timestamp};
use crate::store::{Owner, Record};
use crate::text::{self, fit, harmless_json, pad, sanitize};

/// Cells between two columns.
const GAP: usize = 2;

/// Who speaks with whom is cut before a column is left out, but never below so many cells.
const LEAST_PEERS: usize = 32;

/// Where the table is shown.
pub(super) struct TableLayout {
    /// Cells; as many as needed if `None`.
    pub(super) width: Option<usize>,
    pub(super) colour: bool,
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

/// A column, and when it is left out: the highest number first.
struct Column {
    title: &'static str,
    dispensable: u8,
    right: bool,
    cell: fn(&Record, &[Owner], &TableLayout) -> String,
}

const COLUMNS: [Column; 7] = [
    Column { title: "ID", dispensable: 0, right: false, cell: |it, _, _| it.session.id.short() },
    Column {
        title: "STATE",
        dispensable: 0,
        right: false,
        cell: |it, living, _| Standing::of(it, living).word().to_owned(),
    },
    Column {
        title: "STARTED",
        dispensable: 3,
        right: false,
        cell: |it, _, page| clock(it.session.started, &page.zone),
    },
    Column { title: "LAST USE", dispensable: 1, right: false, cell: |it, _, page| ago(it.last_used, page.now) },
    Column { title: "CLIENT -> SERVER", dispensable: 0, right: false, cell: |it, _, _| peers(it) },
    Column { title: "MSGS", dispensable: 2, right: true, cell: |it, _, _| it.messages.to_string() },
    Column { title: "TAPE", dispensable: 4, right: false, cell: |it, _, _| tape(it) },
];

/// Index of the state's column in [`COLUMNS`].
const STATE: usize = 1;
const PEERS: usize = 4;

/// The table, with its heading.
pub(super) fn lines(records: &[Record], living: &[Owner], page: &TableLayout) -> Vec<String> {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| COLUMNS.iter().map(|column| (column.cell)(record, living, page)).collect())
        .collect();
    let titles = COLUMNS.iter().map(|column| column.title.to_owned()).collect::<Vec<_>>();
    let widest = |at: usize| rows.iter().chain([&titles]).map(|row| text::width(&row[at])).max().unwrap_or(0);
    let mut widths: Vec<_> = (0..COLUMNS.len()).map(|at| Some(widest(at))).collect();
    squeeze(&mut widths, page.width);
    let heading = line(&titles, &widths, |_, cell| cell);
    let standing = records.iter().map(|record| Standing::of(record, living));
    let body = rows.iter().zip(standing).map(|(row, standing)| {
        line(row, &widths, |at, cell| if at == STATE && page.colour { paint(&cell, &standing) } else { cell })
    });
    std::iter::once(heading).chain(body).collect()
}

/// Leaves out columns, and cuts who speaks with whom, until a line has so many cells.
fn squeeze(widths: &mut [Option<usize>], room: Option<usize>) {
    let Some(room) = room else { return };
    for dispensable in (0..=4).rev() {
        let used = widths.iter().flatten().map(|width| width + GAP).sum::<usize>() - GAP;
        let surplus = used.saturating_sub(room);
        let peers = widths[PEERS].unwrap_or(0);
        if peers.saturating_sub(surplus) >= LEAST_PEERS.min(peers) || dispensable == 0 {
            widths[PEERS] = Some(peers.saturating_sub(surplus));
            return;
        }
        if let Some(at) = COLUMNS.iter().position(|column| column.dispensable == dispensable) {
            widths[at] = None;
        }
    }
}

fn line(cells: &[String], widths: &[Option<usize>], paint: impl Fn(usize, String) -> String) -> String {
    let last = widths.iter().rposition(Option::is_some);
    let cells = cells.iter().zip(widths).enumerate().filter_map(|(at, (cell, width))| {
        let width = (*width)?;
        let text = match (COLUMNS[at].right, Some(at) == last) {
            (true, _) => format!("{:>width$}", fit(cell, width)),
            (false, true) => fit(cell, width),
            (false, false) => pad(cell, width),
        };
        Some(paint(at, text))
    });
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

fn paint(cell: &str, standing: &Standing) -> String {
    let colour = match standing {
        Standing::Lives(SessionState::Failed { .. }) => "31",
        Standing::Lives(SessionState::Paused) | Standing::Waits => "33",
        Standing::Lives(_) => "32",
        Standing::Ended => "2",
    };
    format!("\x1b[{colour}m{cell}\x1b[0m")
}

/// All that is known of one.
pub(super) fn details(record: &Record, living: &[Owner], zone: &TimeZone) -> Vec<String> {
    let session = &record.session;
    let peer = |peer: &Option<Arc<Peer>>| peer.as_deref().map_or_else(|| "not known".to_owned(), name);
    let tape = session.tape.as_ref().map(|path| match path.exists() {
        true => path.display().to_string(),
        false => format!("{} (not there any more)", path.display()),
    });
    let client = match &record.caller {
        Some(caller) => format!("{}, let in as {caller}", peer(&session.client)),
        None => peer(&session.client),
    };
    let upstream = match &session.upstream_name {
        Some(name) => format!("{name}: {}", session.upstream),
        None => session.upstream.to_string(),
    };
    let facts = [
        ("session", session.id.0.to_string()),
        ("state", state(record, living)),
        ("upstream", upstream),
        ("client", client),
        ("server", peer(&session.server)),
        ("protocol", session.protocol.clone().unwrap_or_else(|| "not known".to_owned())),
        ("came in by", session.via.word().to_owned()),
        ("started", clock(session.started, zone)),
        ("last use", clock(record.last_used, zone)),
        ("messages", format!("{}, the last is #{}", record.messages, record.last_seq.0)),
        ("tape", tape.unwrap_or_else(|| "none".to_owned())),
    ];
    facts.iter().map(|(what, is)| format!("{}  {}", pad(what, 10), sanitize(is))).collect()
}

fn state(record: &Record, living: &[Owner]) -> String {
    let standing = Standing::of(record, living);
    match (&standing, &record.session.state) {
        (Standing::Lives(_), _) => format!("{}, in process {}", standing.word(), record.owner.process),
        (Standing::Waits, _) => "waiting: it resumes when its client comes back".to_owned(),
        (Standing::Ended, SessionState::Closing { reason } | SessionState::Closed { reason }) => {
            format!("closed: {reason}")
        }
        (Standing::Ended, _) => standing.word().to_owned(),
    }
}

/// One line of JSON.
pub(super) fn json(record: &Record, living: &[Owner]) -> String {
    #[derive(Serialize)]
    struct SessionJson<'a> {
        id: String,
        state: &'static str,
        reason: Option<&'a str>,
        upstream_name: Option<&'a str>,
        upstream: &'a str,
        via: &'static str,
        origin: Origin,
        client: Option<&'a Peer>,
        caller: Option<&'a str>,
        server: Option<&'a Peer>,
        protocol: Option<&'a str>,
        started: String,
        last_used: String,
        ended: Option<String>,
        messages: u64,
        last_seq: u64,
        tape: Option<&'a Path>,
        process: Option<u32>,
    }
    let (session, standing) = (&record.session, Standing::of(record, living));
    let reason = match &session.state {
        SessionState::Closing { reason } | SessionState::Closed { reason } => Some(reason.as_str()),
        SessionState::Failed { why } => Some(why.as_str()),
        _ => None,
    };
    let line = SessionJson {
        id: session.id.0.to_string(),
        state: standing.word(),
        reason,
        upstream_name: session.upstream_name.as_deref(),
        upstream: &session.upstream,
        via: session.via.word(),
        origin: session.origin,
        client: session.client.as_deref(),
        caller: record.caller.as_deref(),
        server: session.server.as_deref(),
        protocol: session.protocol.as_deref(),
        started: exact(session.started),
        last_used: exact(record.last_used),
        ended: record.ended.map(exact),
        messages: record.messages,
        last_seq: record.last_seq.0,
        tape: session.tape.as_deref(),
        process: matches!(standing, Standing::Lives(_)).then_some(record.owner.process),
    };
    let json =
        serde_json::to_string(&line).expect("all keys are strings, and a path that is not UTF-8 was never saved");
    harmless_json(&json).into_owned()
}

fn peers(record: &Record) -> String {
    let name_of = |peer: &Option<Arc<Peer>>| peer.as_deref().map_or_else(|| "?".to_owned(), name);
    let server = match &record.session.server {
        None => sanitize(&record.session.upstream).into_owned(),
        server => name_of(server),
    };
    format!("{} -> {server}", name_of(&record.session.client))
}

fn name(peer: &Peer) -> String {
    sanitize(format!("{} {}", peer.name, peer.version).trim()).into_owned()
}

fn tape(record: &Record) -> String {
    let file = record.session.tape.as_ref().and_then(|path| path.file_name());
    file.map_or_else(|| "-".to_owned(), |name| sanitize(&name.to_string_lossy()).into_owned())
}

fn moment(at: Timestamp) -> jiff::Timestamp {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX)
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    moment(at).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

fn exact(at: Timestamp) -> String {
    moment(at).to_string()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.0.saturating_sub(at.0) {
        0..1_000_000 => "now".to_owned(),
        micros => format!("{} ago", text::micros_with_unit(micros)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Seq, SessionId, Via};
    use crate::event::Session;

    const RUNS: Owner = Owner { process: 7, started: Timestamp(1) };
    const GONE: Owner = Owner { process: 8, started: Timestamp(1) };
    const NOW: Timestamp = Timestamp(1_773_482_640_000_000);

    fn record(n: u128, state: SessionState, owner: Owner) -> Record {
        let peer = |name: &str, version: &str| Some(Peer { name: name.to_owned(), version: version.to_owned() }.into());
        Record {
            session: Arc::new(Session {
                id: SessionId(uuid::Uuid::from_u128(n)),
                upstream_name: None,
                upstream: "http://127.0.0.1:9000/mcp".into(),
                via: Via::Http,
                started: Timestamp(NOW.0 - 3_600_000_000),
                state,
                origin: Origin::Client,
                client: peer("editor\x1b[2J", "1.4"),
                server: peer("a-server-with-quite-a-long-name", "2.0"),
                protocol: None,
                tape: Some(Path::new("/tapes/20260314T090400Z-127.0.0.1-9000-00000001.tape.jsonl").into()),
            }),
            key: None,
            ended: None,
            last_used: Timestamp(NOW.0 - 90_000_000),
            last_seq: Seq(41),
            messages: 1234,
            handshake: None,
            caller: None,
            owner,
        }
    }

    fn records() -> Vec<Record> {
        let mut closed = record(3, SessionState::Closing { reason: "idle for 24h".to_owned() }, GONE);
        closed.ended = Some(closed.last_used);
        let session = Arc::make_mut(&mut closed.session);
        (session.server, session.tape) = (None, None);
        closed.caller = Some("token:ann\x07".to_owned());
        vec![record(1, SessionState::Active, RUNS), record(2, SessionState::Active, GONE), closed]
    }

    fn table(width: Option<usize>, colour: bool) -> String {
        let page = TableLayout { width, colour, now: NOW, zone: TimeZone::UTC };
        lines(&records(), &[RUNS], &page).join("\n")
    }

    #[test]
    fn table_fits_its_terminal() {
        insta::assert_snapshot!(table(None, false));
        insta::assert_snapshot!("narrow", table(Some(72), false));
        for width in 30..200 {
            let table = table(Some(width), false);
            assert!(table.lines().all(|line| text::width(line) <= width), "{width}:\n{table}");
            assert!(table.contains("waiting") && !table.contains('\x1b'), "{table}");
        }
        assert!(table(Some(80), true).contains("\x1b[32mactive"));
    }

    #[test]
    fn session_is_shown_whole() {
        let shown = |at: usize| details(&records()[at], &[RUNS], &TimeZone::UTC).join("\n");
        insta::assert_snapshot!(shown(0));
        assert!(shown(1).contains("state       waiting: it resumes when its client comes back"), "{}", shown(1));
        assert!(shown(2).contains("state       closed: idle for 24h"), "{}", shown(2));
        assert!(shown(2).contains(", let in as token:ann") && !shown(2).contains('\x07'), "{}", shown(2));
    }

    #[test]
    fn json_lists_sessions_for_scripts() {
        let lines: Vec<serde_json::Value> =
            records().iter().map(|record| serde_json::from_str(&json(record, &[RUNS])).unwrap()).collect();
        let states: Vec<_> = lines.iter().map(|line| line["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["active", "waiting", "closed"]);
        assert_eq!((&lines[0]["process"], &lines[1]["process"]), (&7.into(), &serde_json::Value::Null));
        assert_eq!((&lines[2]["reason"], &lines[2]["caller"]), (&"idle for 24h".into(), &"token:ann\x07".into()));
        assert_eq!(lines[0]["started"], "2026-03-14T09:04:00Z");
    }
}
