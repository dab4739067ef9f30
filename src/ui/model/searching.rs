//! Searching in what the screen shows: messages, a message in full, events, tapes, and every other list.
//!
//! A search looks through its place in slices, beginning at the cursor, so that keys never wait for it. It stays when the cursor
//! goes elsewhere, and starts again there: what was searched for in the list is found in the message as well.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use regex::Regex;

use super::lint_screen::LintScreenRow;
use super::metrics_screen::{EndpointKey, MetricsRow, MetricsSubject};
use super::popup::Popup;
use super::search::{Search, SearchJump, SearchPlace, SearchScan, SearchStatus};
use super::state::{Model, Pane, ScreenKind};
use super::summary::row_words;
use super::tapes_screen::{server_name, tape_title, tools_words};
use crate::envelope::Seq;

impl Model {
    /// What a search here goes through.
    pub(crate) fn search_place(&self) -> Option<SearchPlace> {
        match &self.popup {
            Some(Popup::Pager(_)) => return Some(SearchPlace::Pager),
            Some(_) => return None,
            None if self.editor.is_some() => return Some(SearchPlace::Editor),
            None => {}
        }
        Some(match (self.screen, self.pane) {
            (ScreenKind::Messages | ScreenKind::Queue, Pane::Detail) => {
                let (seq, tab, content) = self.detail.identity()?;
                SearchPlace::Detail(seq, tab, content)
            }
            (ScreenKind::Messages, Pane::Sessions) => SearchPlace::Sessions,
            (ScreenKind::Messages, Pane::List) => SearchPlace::Messages(self.tape.is_some(), self.list().generation),
            (ScreenKind::Queue, _) => SearchPlace::Queue,
            (ScreenKind::Tapes, Pane::Detail) => SearchPlace::Steps,
            (ScreenKind::Tapes, _) => SearchPlace::Tapes,
            (ScreenKind::Compare, _) => SearchPlace::Compare,
            (ScreenKind::Metrics, _) => SearchPlace::Metrics,
            (ScreenKind::Events, _) => SearchPlace::Events,
            (ScreenKind::Lint, _) => SearchPlace::Lint,
            (ScreenKind::Rules, _) => SearchPlace::Rules,
        })
    }

    /// Begins from the cursor, where the search is new or the place another; a short list is looked through at once.
    pub(crate) fn restart_search(&mut self) {
        let place = self.search_place();
        let Some(mut search) = self.search.take() else { return };
        let is_long = matches!(place, Some(SearchPlace::Messages(..) | SearchPlace::Detail(..)));
        if search.place != place || !is_long {
            let start = if is_long { self.search_cursor() } else { 0 };
            search.place = place;
            search.found.clear();
            search.scan = SearchScan { start, next: start, wrapped: start == 0, ..SearchScan::default() };
        }
        self.search = Some(search);
        self.search_on(Duration::from_millis(4));
    }

    /// Goes on with the search for about `budget`; returns whether there was anything to do.
    pub(crate) fn search_on(&mut self, budget: Duration) -> bool {
        let Some(mut search) = self.search.take() else { return false };
        let did = match search.place {
            Some(place) if Some(place) == self.search_place() => self.scan_place(&mut search, place, budget),
            _ => false,
        };
        let wanted = search.wanted;
        self.search = Some(search);
        if let Some(jump) = wanted {
            self.go_to_next_match(jump);
        }
        did
    }

    /// Whether the search has something left to do.
    pub(crate) fn search_waits(&self) -> bool {
        self.search.as_ref().is_some_and(|search| {
            search.place.is_some() && search.place == self.search_place() && self.search_left(search)
        })
    }

    fn search_left(&self, search: &Search) -> bool {
        match search.place {
            // What is not filtered yet is not searched yet; what came since the end was reached is.
            Some(SearchPlace::Messages(..)) => {
                let (rows, list) = self.messages();
                let newest = rows.len().checked_sub(1).and_then(|last| rows.at(last)).map(|row| row.envelope.seq.0);
                list.scanned(rows).is_none() && (!search.scan.done || newest >= Some(search.scan.next))
            }
            _ => !search.scan.done,
        }
    }

    fn scan_place(&self, search: &mut Search, place: SearchPlace, budget: Duration) -> bool {
        if !self.search_left(search) {
            return false;
        }
        let start = Instant::now();
        match place {
            SearchPlace::Messages(..) => self.scan_messages(search, start, budget),
            SearchPlace::Detail(..) => {
                let len = self.detail.search_len() as u64;
                scan_rows(search, len, start, budget, |row, pattern| self.detail.is_match(row, pattern));
            }
            _ => {
                let len = self.search_len(place) as u64;
                let is_match = |row, pattern: &Regex| pattern.is_match(&self.search_text(place, row));
                scan_rows(search, len, start, Duration::MAX, is_match);
            }
        }
        true
    }

    fn scan_messages(&self, search: &mut Search, start: Instant, budget: Duration) {
        let (rows, list) = self.messages();
        let mut position = rows.find(Seq(search.scan.next)).unwrap_or_else(|near| near);
        while start.elapsed() < budget {
            for _ in 0..64 {
                let row = rows.at(position);
                let seq = row.as_ref().map(|row| row.envelope.seq.0);
                let is_around =
                    search.scan.wrapped && search.scan.start > 0 && seq.is_some_and(|seq| seq >= search.scan.start);
                if (seq.is_none() || is_around) && !search.scan.done {
                    if !search.scan.wrapped {
                        (search.scan.wrapped, position) = (true, 0);
                        continue;
                    }
                    // From now on what comes is looked at as it comes.
                    search.scan.done = true;
                    let last = rows.len().checked_sub(1).and_then(|last| rows.at(last));
                    search.scan.next = last.map_or(0, |row| row.envelope.seq.0 + 1);
                    return;
                }
                let (Some(row), Some(seq)) = (row, seq) else { return };
                // A row of an exchange shows its reply, too.
                let asked = row.envelope.reply_to.as_ref().map(|to| to.seq).filter(|_| list.pairs);
                let shown = [Some(row.envelope.seq), asked].into_iter().flatten().find(|seq| list.shows(*seq));
                if let Some(shown) = shown.filter(|_| search.pattern.is_match(&row_words(&row.envelope))) {
                    search.put(shown.0);
                }
                search.scan.next = seq + 1;
                position += 1;
            }
        }
    }

    /// How many rows a short list has.
    fn search_len(&self, place: SearchPlace) -> usize {
        match (place, &self.popup) {
            (SearchPlace::Queue, _) => self.observed.held.len(),
            (SearchPlace::Sessions, _) => self.observed.sessions.all().len() + 1,
            (SearchPlace::Tapes, _) => self.tapes.list.as_ref().map_or(0, Vec::len),
            (SearchPlace::Steps, _) => self.tapes.replay.as_ref().map_or(0, |replay| replay.reports.len()),
            (SearchPlace::Compare, _) => self.compare.shown.as_ref().map_or(0, |shown| shown.rows.len()),
            (SearchPlace::Metrics, _) => self.metrics.rows.len(),
            (SearchPlace::Events, _) => self.log.len(),
            (SearchPlace::Lint, _) => self.observed.found.rows().len(),
            (SearchPlace::Rules, _) => self.rules().len(),
            (SearchPlace::Pager, Some(Popup::Pager(pager))) => pager.lines.len(),
            (SearchPlace::Editor, _) => self.editor.as_ref().map_or(0, |editor| editor.area.lines().len()),
            _ => 0,
        }
    }

    /// What a row of a short list says.
    fn search_text(&self, place: SearchPlace, row: usize) -> Cow<'_, str> {
        let text = match (place, &self.popup) {
            (SearchPlace::Queue, _) => self.observed.held.values().nth(row).map(|held| row_words(&held.envelope)),
            (SearchPlace::Sessions, _) => row.checked_sub(1).and_then(|at| self.session_words(at)),
            (SearchPlace::Tapes, _) => self.tapes.list.as_ref().and_then(|list| list.get(row)).map(|tape| {
                let client = tape.client.as_ref().map_or("", |client| &client.name);
                let (title, tools, server) = (tape_title(&tape.path), tools_words(tape, '×'), server_name(tape));
                format!("{title} {client} {server} {} {tools} {}", tape.upstream, tape.notes.join(" "))
            }),
            (SearchPlace::Steps, _) => {
                self.tapes.replay.as_ref().and_then(|replay| replay.reports.get(row)).map(|it| {
                    let (name, why) = (it.name.as_deref().unwrap_or_default(), it.why.as_deref().unwrap_or_default());
                    format!("{} {name} {why}", it.method)
                })
            }
            (SearchPlace::Compare, _) => self.compare.shown.as_ref().map(|shown| shown.words_at(row)),
            (SearchPlace::Metrics, _) => self.metrics.rows.get(row).map(|row| self.metrics_words(row)),
            (SearchPlace::Lint, _) => self.observed.found.rows().get(row).map(LintScreenRow::words),
            (SearchPlace::Rules, _) => {
                self.rules().get(row).map(|rule| format!("{} {} {} {}", rule.name, rule.place, rule.when, rule.action))
            }
            (SearchPlace::Events, _) => self.log.shown().nth(row).map(|line| {
                let sessions = &self.observed.sessions;
                let session = line.session.and_then(|id| sessions.get(id)).map(|row| sessions.title(row));
                let session = session.unwrap_or_default();
                let seq = line.seq.map(|seq| seq.to_string()).unwrap_or_default();
                format!("{} {} {seq} {session}: {}", line.level.word(), line.source, line.text)
            }),
            (SearchPlace::Pager, Some(Popup::Pager(pager))) => {
                return pager.lines.get(row).map_or(Cow::Borrowed(""), |line| Cow::Borrowed(line));
            }
            (SearchPlace::Editor, _) => {
                let line = self.editor.as_ref().and_then(|editor| editor.area.lines().get(row));
                return line.map_or(Cow::Borrowed(""), |line| Cow::Borrowed(line));
            }
            _ => None,
        };
        Cow::Owned(text.unwrap_or_default())
    }

    fn metrics_words(&self, row: &MetricsRow) -> String {
        match &row.what {
            MetricsSubject::Session(id) => {
                let sessions = &self.observed.sessions;
                sessions.get(*id).map(|row| sessions.title(row)).unwrap_or_default()
            }
            MetricsSubject::Endpoint(EndpointKey { method, name, .. }) => {
                format!("{} {}", method.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default())
            }
        }
    }

    fn session_words(&self, at: usize) -> Option<String> {
        let row = self.observed.sessions.all().get(at)?;
        let client = row.session.client.as_ref().map_or("", |client| &client.name);
        Some(format!("{} {client} {}", self.observed.sessions.title(row), row.closed().unwrap_or_default()))
    }

    /// Where the cursor is, in the numbers of what is found.
    fn search_cursor(&self) -> u64 {
        let row = match (self.search_place(), &self.popup) {
            (Some(SearchPlace::Messages(..)), _) => return self.list().cursor.map_or(0, |seq| seq.0),
            (Some(SearchPlace::Detail(..)), _) => self.detail.search_row(),
            (Some(SearchPlace::Queue), _) => self.queue.position(&self.observed.held),
            (Some(SearchPlace::Sessions), _) => self.session_cursor.cursor,
            (Some(SearchPlace::Tapes), _) => self.tapes.place.cursor,
            (Some(SearchPlace::Steps), _) => self.tapes.replay.as_ref().map_or(0, |replay| replay.place.cursor),
            (Some(SearchPlace::Compare), _) => self.compare.shown.as_ref().map_or(0, |shown| shown.place.cursor),
            (Some(SearchPlace::Metrics), _) => self.metrics.place.cursor,
            (Some(SearchPlace::Events), _) => self.log.place.cursor,
            (Some(SearchPlace::Lint), _) => self.lint.cursor,
            (Some(SearchPlace::Rules), _) => self.rules_screen.place.cursor,
            (Some(SearchPlace::Pager), Some(Popup::Pager(pager))) => pager.top,
            (Some(SearchPlace::Editor), _) => self.editor.as_ref().map_or(0, |editor| editor.area.cursor().0),
            _ => 0,
        };
        row as u64
    }

    /// Puts the cursor on the next match, or the one before; later, where it is not found yet.
    pub(crate) fn go_to_next_match(&mut self, jump: SearchJump) {
        if self.search.as_ref().is_none_or(|search| search.wanted.is_none()) {
            self.restart_search();
        }
        let here = self.search_cursor();
        let Some(search) = &mut self.search else { return };
        search.wanted = None;
        let typed = search.typed.clone();
        match search.nearest(here, jump) {
            Some(found) => {
                let from = match jump.forward {
                    true if found < here => Some("top"),
                    false if found > here => Some("end"),
                    _ => None,
                };
                self.go_to_match(found);
                if let Some(end) = from {
                    let place = self.search_status().and_then(|it| Some(format!(": {} of {}", it.at?, it.count)));
                    self.notify(format!("from the {end} again{}", place.unwrap_or_default()));
                }
            }
            None if !search.scan.done => search.wanted = Some(jump),
            None => self.warn(format!("`{typed}` is not found here")),
        }
    }

    fn go_to_match(&mut self, found: u64) {
        let row = usize::try_from(found).unwrap_or(usize::MAX);
        match (self.search_place(), &mut self.popup) {
            (Some(SearchPlace::Messages(..)), _) => {
                let (rows, list) = self.messages_mut();
                list.jump(rows, Seq(found));
            }
            (Some(SearchPlace::Detail(..)), _) => self.detail.go_to(row),
            (Some(SearchPlace::Queue), _) => {
                if let Some(ticket) = self.observed.held.keys().nth(row) {
                    self.queue.select(*ticket);
                }
            }
            (Some(SearchPlace::Sessions), _) => self.session_cursor.cursor = row,
            (Some(SearchPlace::Tapes), _) => self.tapes.place.cursor = row,
            (Some(SearchPlace::Steps), _) => {
                if let Some(replay) = &mut self.tapes.replay {
                    (replay.place.cursor, replay.unfollowed) = (row, true);
                }
            }
            (Some(SearchPlace::Compare), _) => self.compare.go_to(row),
            (Some(SearchPlace::Metrics), _) => self.metrics.place.cursor = row,
            (Some(SearchPlace::Lint), _) => self.lint.cursor = row,
            (Some(SearchPlace::Rules), _) => {
                let figures = self.metrics.figures.clone();
                self.rules_screen.select(row, figures.as_ref().map_or(&[], |figures| &figures.rules));
            }
            (Some(SearchPlace::Events), _) => (self.log.place.cursor, self.log.unfollowed) = (row, true),
            (Some(SearchPlace::Pager), Some(Popup::Pager(pager))) => pager.top = row,
            (Some(SearchPlace::Editor), _) => {
                if let (Some(editor), Some(search)) = (&mut self.editor, &self.search) {
                    editor.go_to_match(row, &search.pattern);
                }
            }
            _ => {}
        }
    }

    /// What there is to say of the search, where it looked through what is shown.
    pub(crate) fn search_status(&self) -> Option<SearchStatus<'_>> {
        let search = self.search.as_ref().filter(|search| search.place == self.search_place())?;
        let at = search.found.binary_search(&self.search_cursor()).ok().map(|at| at + 1);
        Some(SearchStatus { typed: &search.typed, at, count: search.found.len(), done: search.scan.done })
    }
}

/// Looks through rows that are numbered.
fn scan_rows(
    search: &mut Search,
    len: u64,
    start: Instant,
    budget: Duration,
    is_match: impl Fn(usize, &Regex) -> bool,
) {
    while start.elapsed() < budget {
        for _ in 0..32 {
            let scan = &mut search.scan;
            if scan.next >= len && !scan.wrapped {
                (scan.wrapped, scan.next) = (true, 0);
            }
            if scan.next >= len || (scan.wrapped && scan.start > 0 && scan.next >= scan.start) {
                scan.done = true;
                return;
            }
            let row = scan.next;
            scan.next += 1;
            if is_match(usize::try_from(row).unwrap_or(usize::MAX), &search.pattern) {
                search.put(row);
            }
        }
    }
}
