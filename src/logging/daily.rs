//! A log file of today's lines. At the first line of another day it is put aside under the date of its last, and the newest few of
//! those are kept. Several taplines may write to one file.
//!
//! Only the writing is tracing-appender's: its rolling file, when it removes old ones, removes every file whose name begins like it,
//! and the directory is the user's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::say;
use crate::event::Level;

/// Days that are kept beside today.
const KEPT: usize = 7;

pub(super) struct Daily {
    path: PathBuf,
    file: File,
    /// The day of its last line; `None` where it is a device or a pipe, which is never put aside.
    day: Option<Date>,
    today: fn() -> Date,
    /// Whether writing has failed, and was reported, since it last worked.
    failing: bool,
}

impl Daily {
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_on(path, || jiff::Zoned::now().date())
    }

    fn open_on(path: &Path, today: fn() -> Date) -> io::Result<Self> {
        let file = open(path)?;
        let day = day_of(&file, today)?;
        Ok(Self { path: path.to_owned(), file, day, today, failing: false })
    }

    /// Puts the file aside where its day is over.
    fn turn(&mut self) -> io::Result<()> {
        let today = (self.today)();
        let Some(day) = self.day.filter(|day| *day != today) else { return Ok(()) };
        // Of several taplines at midnight one puts the file aside; the others wait for it, and find another in its place.
        self.file.lock()?;
        let aside = self.dated(day);
        if is_at(&self.file, &self.path)? && !aside.exists() {
            fs::rename(&self.path, aside)?;
        }
        // The lock goes with the old one.
        self.file = open(&self.path)?;
        self.day = Some(today);
        self.forget_the_oldest()
    }

    fn dated(&self, day: Date) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{day}"));
        name.into()
    }

    fn forget_the_oldest(&self) -> io::Result<()> {
        let mut days = self.days()?;
        days.sort_unstable();
        let over = days.len().saturating_sub(KEPT);
        days.into_iter().take(over).try_for_each(|day| fs::remove_file(self.dated(day)))
    }

    /// Returns the days of the files that were put aside; whatever else stands there is not looked at.
    fn days(&self) -> io::Result<Vec<Date>> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
        let date = |entry: fs::DirEntry| {
            let entry = entry.file_name();
            let rest = entry.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
            rest.parse().ok().filter(|date: &Date| date.to_string() == rest)
        };
        Ok(fs::read_dir(dir)?.flatten().filter_map(date).collect())
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        self.turn()?;
        self.file.write_all(line)
    }
}

/// Never fails: a full disk is said once, and the lines of that time are lost.
impl Write for Daily {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let put = self.put(line);
        let (failed, path) = (std::mem::replace(&mut self.failing, put.is_err()), self.path.display());
        match put {
            Err(error) if !failed => {
                say(
                    Level::Error,
                    format!("the log {path} cannot be written: {error}; its lines are lost until it can"),
                );
            }
            Ok(()) if failed => say(Level::Info, format!("the log {path} is written again")),
            _ => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

fn day_of(file: &File, today: fn() -> Date) -> io::Result<Option<Date>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let written = Timestamp::try_from(metadata.modified()?).map(|at| at.to_zoned(TimeZone::system()).date());
    Ok(Some(written.ok().filter(|_| metadata.len() > 0).unwrap_or_else(today)))
}

/// Whether this is still the file at that path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, theirs) = (file.metadata()?, fs::metadata(path));
    Ok(theirs.is_ok_and(|theirs| (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    thread_local! {
        static TODAY: Cell<Date> = const { Cell::new(Date::constant(2026, 3, 1)) };
    }

    fn on(day: i8) {
        TODAY.set(Date::constant(2026, 3, day));
    }

    fn names(dir: &TempDir) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn log_file_is_one_a_day_and_a_week_is_kept() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("t.log");
        // Nothing of ours: it begins like one, and stays.
        fs::write(dir.path().join("t.log.2020-1-1"), "").unwrap();
        fs::write(dir.path().join("t.log.toml"), "").unwrap();
        on(1);
        let mut log = Daily::open_on(&path, || TODAY.get()).unwrap();
        for day in 1..=10 {
            on(day);
            writeln!(log, "{day}").unwrap();
            writeln!(log, "{day} again").unwrap();
        }
        let aside = (3..10).map(|day| format!("t.log.2026-03-{day:02}"));
        let expected =
            ["t.log".to_owned(), "t.log.2020-1-1".to_owned()].into_iter().chain(aside).chain(["t.log.toml".to_owned()]);
        assert_eq!(names(&dir), expected.collect::<Vec<_>>());
        assert_eq!(fs::read_to_string(&path).unwrap(), "10\n10 again\n");
        assert_eq!(fs::read_to_string(dir.path().join("t.log.2026-03-09")).unwrap(), "9\n9 again\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn rotation_by_two_taplines_happens_once() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("t.log");
        on(1);
        let mut logs = [(); 2].map(|()| Daily::open_on(&path, || TODAY.get()).unwrap());
        for day in 1..=2 {
            on(day);
            logs.iter_mut().for_each(|log| writeln!(log, "{day}").unwrap());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n2\n");
        assert_eq!(fs::read_to_string(dir.path().join("t.log.2026-03-01")).unwrap(), "1\n1\n");
    }

    #[test]
    fn rotation_of_an_old_file_is_at_the_first_line() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("t.log");
        fs::write(&path, "old\n").unwrap();
        let written = jiff::civil::date(2026, 2, 27).to_zoned(TimeZone::system()).unwrap().timestamp();
        File::options().append(true).open(&path).unwrap().set_modified(written.into()).unwrap();
        on(1);
        let mut log = Daily::open_on(&path, || TODAY.get()).unwrap();
        writeln!(log, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(names(&dir), ["t.log", "t.log.2026-02-27"]);
    }

    #[test]
    fn full_disk_is_no_failure() {
        let mut log = Daily::open(Path::new("/dev/full")).unwrap();
        assert_eq!(log.day, None, "a device has no day");
        log.write_all(b"lost\n").unwrap();
        assert!(log.failing);
    }
}
