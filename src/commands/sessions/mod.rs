//! `tapline sessions`: what is known of sessions beyond the life of a tapline, listed, shown and forgotten.
//!
//! Reads the database beside the taplines that use it; which of them run is the registry's to say.

mod list;
mod tapes;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{ColorArg, RmArgs, SessionsArgs, SessionsCommand};
use crate::config::keys::ConfigKeys;
use crate::control::registry::Registry;
use crate::envelope::SessionId;
use crate::event::{SessionState, Timestamp};
use crate::exit;
use crate::store::{Database, Owner, Record, StoreError, default_path};
use crate::tape::TapeError;
use crate::text::sanitize;
use list::TableLayout;

/// Why a command of these came to nothing.
#[derive(Debug, thiserror::Error)]
enum SessionsError {
    #[error("no home directory to look for sessions in; give the file with `--database FILE`")]
    NoHome,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no session is known by `{0}`; `tapline sessions ls` lists all")]
    Unknown(String),
    #[error("`{prefix}` may be each of {}; give more of it", .ids.join(", "))]
    Ambiguous { prefix: String, ids: Vec<String> },
    #[error("{} of a tapline that runs (process {process}); close it there, or end that tapline", .ids.join(", "))]
    InUse { ids: Vec<String>, process: u32 },
    #[error("the sessions are forgotten, but of their tapes stay {}", .0.join("; "))]
    TapesStay(Vec<String>),
    #[error("{0}; give the directory with `--tapes=DIR`")]
    NoTapes(TapeError),
}

impl SessionsError {
    fn status(&self) -> u8 {
        match self {
            Self::InUse { .. } | Self::TapesStay(_) => 1,
            Self::NoHome | Self::NoTapes(_) | Self::Store(_) | Self::Unknown(_) | Self::Ambiguous { .. } => 2,
        }
    }
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// In the memory of a tapline that runs.
    Lives(SessionState),
    /// Goes on when its client comes back.
    Waits,
    Ended,
}

impl Standing {
    fn of(record: &Record, living: &[Owner]) -> Self {
        match &record.session.state {
            _ if record.ended.is_some() => Self::Ended,
            // Suspended: no tapline has it in memory.
            SessionState::Closing { .. } | SessionState::Closed { .. } => Self::Waits,
            state if living.contains(&record.owner) => Self::Lives(state.clone()),
            _ => Self::Waits,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Ended => "closed",
            Self::Waits => "waiting",
            Self::Lives(state) => match state {
                SessionState::New => "new",
                SessionState::Initializing => "initializing",
                SessionState::Active => "active",
                SessionState::Paused => "paused",
                SessionState::Failed { .. } => "restarting",
                SessionState::Closing { .. } => "closing",
                SessionState::Closed { .. } => "closed",
            },
        }
    }
}

/// Runs the subcommand to its end.
pub(in crate::commands) fn run(args: &SessionsArgs, keys: &ConfigKeys) -> ExitCode {
    match carry_out(args, keys) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::print_error(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}

fn carry_out(args: &SessionsArgs, keys: &ConfigKeys) -> Result<(), SessionsError> {
    let path = args.database.clone().or_else(default_path).ok_or(SessionsError::NoHome)?;
    let living: Vec<_> =
        Registry::of_user().list().iter().map(|it| Owner { process: it.pid, started: it.started }).collect();
    let mut database = if path.exists() { Some(Database::open_existing(&path)?) } else { None };
    let records = database.as_ref().map(Database::sessions).transpose()?.unwrap_or_default();
    match &args.command {
        SessionsCommand::Ls { json: true } => {
            records.iter().for_each(|record| print_line(&list::json(record, &living)));
        }
        SessionsCommand::Ls { json: false } => show_list(&records, &living, &path, keys.color),
        SessionsCommand::Show { id, json } => {
            let record = by_prefix(&records, id)?;
            if *json {
                print_line(&list::json(record, &living));
            } else {
                list::details(record, &living, &jiff::tz::TimeZone::system()).iter().for_each(|line| print_line(line));
            }
        }
        SessionsCommand::Rm(args) => {
            let dir = args.tapes.as_ref().map(|dir| tapes::dir(dir.as_ref(), keys)).transpose()?;
            remove((args, dir.as_deref()), database.as_mut(), &records, &living)?;
        }
    }
    Ok(())
}

fn show_list(records: &[Record], living: &[Owner], path: &Path, color: Option<ColorArg>) {
    if records.is_empty() {
        return print_line(&format!("no sessions are kept in {}", sanitize(&path.display().to_string())));
    }
    let page = TableLayout {
        width: std::io::stdout().is_terminal().then(width).flatten(),
        colour: color.unwrap_or_default().is_wanted(std::io::stdout().is_terminal()),
        now: Timestamp::now(),
        zone: jiff::tz::TimeZone::system(),
    };
    list::lines(records, living, &page).iter().for_each(|line| print_line(line));
}

fn width() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

fn remove(
    (args, tapes): (&RmArgs, Option<&Path>),
    database: Option<&mut Database>,
    records: &[Record],
    living: &[Owner],
) -> Result<(), SessionsError> {
    let chosen = if args.ids.is_empty() {
        let lives = |record: &Record| matches!(Standing::of(record, living), Standing::Lives(_));
        let fits = |record: &&Record| {
            (!args.closed || record.ended.is_some()) && args.older_than.is_none_or(|age| is_older(record, age))
        };
        records.iter().filter(|record| !lives(record)).filter(fits).collect()
    } else {
        named(&args.ids, records, living)?
    };
    let (Some(database), false) = (database, chosen.is_empty()) else {
        print_line("nothing to remove");
        return Ok(());
    };
    database.remove(&chosen.iter().map(|record| record.session.id).collect::<Vec<_>>())?;
    let removed = tapes.map(|dir| tapes::remove(&chosen, dir)).unwrap_or_default();
    let number = tapes.map(|_| format!(" and {}", count(removed.count, "tape"))).unwrap_or_default();
    print_line(&format!("removed {}{number}", count(chosen.len(), "session")));
    if removed.stay.is_empty() { Ok(()) } else { Err(SessionsError::TapesStay(removed.stay)) }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn is_older(record: &Record, age: Duration) -> bool {
    Duration::from_micros(Timestamp::now().0.saturating_sub(record.last_used.0)) > age
}

/// All that were named; none of them may live.
fn named<'a>(ids: &[String], records: &'a [Record], living: &[Owner]) -> Result<Vec<&'a Record>, SessionsError> {
    let mut chosen: Vec<&Record> = Vec::new();
    for id in ids {
        let record = by_prefix(records, id)?;
        if !chosen.iter().any(|it| it.session.id == record.session.id) {
            chosen.push(record);
        }
    }
    let mut living =
        chosen.iter().filter(|record| matches!(Standing::of(record, living), Standing::Lives(_))).peekable();
    if let Some(first) = living.peek() {
        let process = first.owner.process;
        return Err(SessionsError::InUse { process, ids: living.map(|it| it.session.id.short()).collect() });
    }
    Ok(chosen)
}

/// The session whose id begins so: the short one that is shown, or the whole.
fn by_prefix<'a>(records: &'a [Record], prefix: &str) -> Result<&'a Record, SessionsError> {
    let wanted = prefix.replace('-', "").to_ascii_lowercase();
    let begins = |id: SessionId| id.short().starts_with(&wanted) || id.0.simple().to_string().starts_with(&wanted);
    let found: Vec<_> = records.iter().filter(|record| !wanted.is_empty() && begins(record.session.id)).collect();
    match found[..] {
        [] => Err(SessionsError::Unknown(prefix.to_owned())),
        [record] => Ok(record),
        _ => {
            let ids = found.iter().map(|record| record.session.id.short()).collect();
            Err(SessionsError::Ambiguous { prefix: prefix.to_owned(), ids })
        }
    }
}

/// A line on stdout. A closed one is no reason to fail.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
