//! What the messages say together: why a call has no reply yet, and how a session went in time.

use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, SessionId};
use crate::event::{CallStanding, ChildStanding, Command, ExamineRequest, Level, ProcessState, SessionState};
use crate::message::Kind;
use crate::text::{self, micros_with_unit};
use crate::ui::keymap::with_keys;
use crate::ui::model::message_rows::{MessageRow, MessageRows, RowState};
use crate::ui::model::popup::{Pager, PagerSubject, Popup, SessionPart};
use crate::ui::model::summary::{plural, summary};
use crate::ui::model::{Model, age, sent_at};

/// `g w`: what is known of a call that has no reply yet. The core is asked for the rest.
pub(super) fn why(model: &mut Model) {
    let is_request = |row: &MessageRow| row.envelope.kind() == Kind::Request;
    let Some(row) = model.selected().filter(is_request).or_else(|| model.selected_pair().filter(is_request)) else {
        return model.notify("only a request waits for a reply");
    };
    let (session, call) = (row.envelope.session, row.envelope.seq);
    if let Some(reply) = row.reply {
        return model.notify(format!("{call} is answered by {reply}"));
    }
    let title = format!("why does {call} {} hang?", row.envelope.name().or(row.envelope.method()).unwrap_or_default());
    open(model, title, PagerSubject::Why(call, None));
    examine(model, session, call);
}

/// Asks the core what it sees of a call that waits.
fn examine(model: &mut Model, session: SessionId, call: Seq) {
    let row = model.messages().0.get(call);
    if row.is_some_and(|row| model.open_age(&row).is_some()) {
        model.send(Command::Examine(ExamineRequest { session, call }));
    }
}

/// The core has looked into a call: that stands in the explanation from now on, if it is still open.
pub(super) fn examined(model: &mut Model, standing: &CallStanding) {
    let Some(Popup::Pager(pager)) = &mut model.popup else { return };
    if let PagerSubject::Why(call, known) = &mut pager.subject
        && *call == standing.call
    {
        *known = Some(Box::new(standing.clone()));
        pager.written_for = None;
    }
}

fn open(model: &mut Model, title: String, subject: PagerSubject) {
    let text = text_of(model, &subject).map(|(_, text)| text).unwrap_or_default();
    let mut pager = Pager::on(subject, title, text);
    pager.written_for = Some(moment(model));
    model.popup = Some(Popup::Pager(pager));
}

/// What is written anew where it changes: once a second, and in a window of another width.
fn moment(model: &Model) -> (u64, u16) {
    (model.now.0 / 1_000_000, model.viewport.width)
}

/// Writes the text that lies over the screen anew, where it is about something that goes on.
pub(crate) fn renew(model: &mut Model) {
    let now = moment(model);
    let Some(Popup::Pager(pager)) = &model.popup else { return };
    let (before, call) = (
        pager.written_for,
        match &pager.subject {
            PagerSubject::Why(call, _) => Some(*call),
            _ => None,
        },
    );
    if before == Some(now) {
        return;
    }
    let Some((title, text)) = text_of(model, &pager.subject) else { return };
    if let Some(Popup::Pager(pager)) = &mut model.popup {
        pager.replace(text);
        pager.written_for = Some(now);
        pager.title = title.unwrap_or_else(|| std::mem::take(&mut pager.title));
    }
    // What the core sees may be another by now; what it has just said is not asked for again.
    let session = call.filter(|_| before.is_some()).and_then(|call| model.messages().0.get(call));
    if let (Some(call), Some(session)) = (call, session.map(|row| row.envelope.session)) {
        examine(model, session, call);
    }
}

/// The text as things stand now, with its title where that changes; `None`: it stays as it is.
fn text_of(model: &Model, subject: &PagerSubject) -> Option<(Option<String>, String)> {
    match subject {
        PagerSubject::Text => None,
        PagerSubject::Why(call, standing) => {
            let row = model.messages().0.get(*call)?;
            Some((None, why_text(model, &row, standing.as_deref())))
        }
        PagerSubject::Timeline(part) => timeline_text(model, *part).map(|(title, text)| (Some(title), text)),
        PagerSubject::Sequence(part) => sequence_text(model, *part).map(|(title, text)| (Some(title), text)),
    }
}

fn why_text(model: &Model, row: &MessageRow, standing: Option<&CallStanding>) -> String {
    let request = &row.envelope;
    let asked = if request.direction == Direction::ToServer { "server" } else { "client" };
    let answered = row.reply.map(|reply| {
        let took = model.messages().0.took(row).map(|took| format!(", after {}", micros_with_unit(took)));
        let made = model.messages().0.get(reply).and_then(|row| made_words(&row.envelope)).unwrap_or_default();
        format!("it is answered now, by {reply}{made}{}", took.unwrap_or_default())
    });
    let mut lines = vec![match (row.state, model.open_age(row).map(age)) {
        _ if answered.is_some() => answered.unwrap_or_default(),
        (RowState::Held(_), _) => "it is held here: `<held forward>` sends it on".to_owned(),
        (RowState::GivenUp(at), _) => {
            let (asker, after) = (if asked == "server" { "client" } else { "server" }, at.saturating_sub(request.at));
            format!("its {asker} gave it up after {}, and waits for no reply", micros_with_unit(after))
        }
        (_, Some(age)) => format!("it went on to the {asked}, and there is no reply after {age}"),
        (_, None) if request.outcome == Outcome::Abandoned => {
            let asker = if asked == "server" { "client" } else { "server" };
            let after = request.held.map(|held| format!(" after {}", micros_with_unit(held))).unwrap_or_default();
            format!("its {asker} gave it up{after} while it was held: it was never sent on")
        }
        (_, None) if !request.was_sent() => "it was never sent on".to_owned(),
        (_, None) => "its session has ended: no reply will come".to_owned(),
    }];
    lines.extend(session_lines(model, request.session));
    lines.extend(traffic_lines(model, row, asked));
    // Of a call that is over, what was seen before its end is true no longer.
    let standing = standing.filter(|_| model.open_age(row).is_some());
    let has_left = !matches!(row.state, RowState::Held(_));
    let is_for_server = has_left && request.direction == Direction::ToServer;
    lines.extend(standing.map(|standing| standing_lines(standing, is_for_server)).unwrap_or_default());
    lines.extend(server_lines(model, request.session));
    with_keys(&model.settings.keys, &lines.join("\n"))
}

fn session_lines(model: &Model, id: SessionId) -> Vec<String> {
    let Some(row) = model.observed.sessions.get(id) else { return Vec::new() };
    let state = match &row.session.state {
        SessionState::Paused => "its session is paused: `<sessions pause>` in the sessions lets it go on".to_owned(),
        SessionState::Failed { why } => format!("its server is gone and another is being started: {why}"),
        SessionState::Closing { reason } | SessionState::Closed { reason } => format!("its session ends: {reason}"),
        state => format!("its session is {}, over {}", state.word(), row.session.via.word()),
    };
    vec![state, format!("the server: {}", row.session.upstream)]
}

/// Who made a message that no peer sent, and what it says.
fn made_words(envelope: &Envelope) -> Option<String> {
    let author = maker(envelope)?;
    Some(format!(", made by {author}, not by a peer ({})", text::sanitize(&summary(envelope))))
}

/// Who of this side made a message.
fn maker(envelope: &Envelope) -> Option<String> {
    match &envelope.outcome {
        Outcome::Injected(Author::Operator) => Some("you".to_owned()),
        Outcome::Injected(Author::Rule(rule)) => Some(format!("rule {rule}")),
        Outcome::Injected(Author::Tapline) => Some("tapline".to_owned()),
        _ => None,
    }
}

/// Whether a peer sent it: what is made here says nothing of the peer.
fn is_of_a_peer(envelope: &Envelope) -> bool {
    maker(envelope).is_none()
}

/// What else is on its way in the session, and what came from the other side since.
fn traffic_lines(model: &Model, call: &MessageRow, asked: &str) -> Vec<String> {
    let (rows, _) = model.messages();
    let request = &call.envelope;
    let from = rows.find(request.seq).unwrap_or_else(|near| near);
    let later = (from + 1..rows.len()).filter_map(|position| rows.at(position));
    let (mut since, mut open, mut last, mut overtaken) = (0, 0, None, false);
    for row in later.filter(|row| row.envelope.session == request.session).take(10_000) {
        let is_back = row.envelope.direction != request.direction && is_of_a_peer(&row.envelope);
        since += usize::from(is_back);
        let is_behind = row.envelope.direction == request.direction && row.envelope.kind() == Kind::Request;
        open += usize::from(is_behind && !matches!(row.state, RowState::Held(_)) && model.open_age(&row).is_some());
        // A later call that the peer answered.
        overtaken |= is_back && row.envelope.reply_to.as_ref().is_some_and(|to| to.seq > request.seq);
        if is_back {
            last = Some(row.envelope.clone());
        }
    }
    let began = model.observed.sessions.get(request.session).map(|row| row.session.started);
    let ago = |at: u64| began.map(|began| age(model.now.0.saturating_sub(began.plus_micros(at).0)));
    let mut lines = vec![match last {
        None => format!("the {asked} has sent no message since"),
        Some(last) => {
            let what = [last.method(), last.name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let ago = ago(last.at).map(|ago| format!(", {ago} ago")).unwrap_or_default();
            let count = plural(since, "messages");
            format!("the {asked} has said {count} since, so it is alive: the last is {} {what}{ago}", last.seq)
        }
    }];
    if open > 0 && !overtaken && model.open_age(call).is_some() {
        lines.push(format!("{} behind it without a reply, too: it may take one at a time", plural(open, "requests")));
    }
    lines
}

/// What the core saw; of a server's response only where the call has gone there.
fn standing_lines(standing: &CallStanding, is_for_server: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match (&standing.child, &standing.stream) {
        (Some(child), _) => lines.extend(child_lines(child)),
        (None, Some(stream)) => lines.push(format!(
            "its response has begun, with status {}: the stream is open, and silent for {}",
            stream.status,
            age(stream.silent)
        )),
        (None, None) if is_for_server => {
            lines.push("no response has begun: the server has the request, or what stands before it".to_owned());
        }
        (None, None) => {}
    }
    if standing.unread_by_client > 0 {
        let size = text::size(standing.unread_by_client);
        lines.push(format!("the client does not read: {size} of what the server said wait for it"));
    }
    lines
}

/// Whether the command reads, and what its processes do.
fn child_lines(child: &ChildStanding) -> Vec<String> {
    let behind = if child.unwritten == 0 {
        String::new()
    } else {
        format!(", and {} behind them", plural(usize::try_from(child.unwritten).unwrap_or(usize::MAX), "messages"))
    };
    let mut lines = Vec::new();
    match (child.is_deaf, child.unread) {
        (true, _) => lines.push("its stdin is closed: it reads nothing any more".to_owned()),
        (false, Some(0)) => lines.push("it has read all that was written to its stdin".to_owned()),
        (false, Some(bytes)) => {
            lines.push(format!("it does not read: {} lie in its stdin{behind}", text::size(bytes)));
        }
        (false, None) if child.unwritten > 0 => lines.push(format!("it does not read: its stdin is full{behind}")),
        (false, None) => {}
    }
    lines.extend(child.processes.iter().map(|process| {
        let what = match process.state {
            ProcessState::Stopped => format!("is stopped, by a signal or a debugger: `kill -CONT {}`", process.id),
            ProcessState::Blocked => "is blocked in the kernel, as by a disk or a network drive".to_owned(),
            ProcessState::Ended => "has ended".to_owned(),
            _ if process.load >= BUSY => format!("computes: {} % of a core", process.load),
            ProcessState::Running | ProcessState::Sleeping => "waits for something, and uses no processor".to_owned(),
        };
        format!("process {} {} {what}", process.id, process.name)
    }));
    lines
}

/// What the server last wrote to stderr, and what tapline said of the session.
fn server_lines(model: &Model, id: SessionId) -> Vec<String> {
    let of = model.log.all().filter(|line| line.session == Some(id));
    let said: Vec<_> = of.filter(|line| line.source == "server" || line.level >= Level::Warn).collect();
    if said.is_empty() {
        let upstream = model.observed.sessions.get(id).map(|row| row.session.upstream.clone()).unwrap_or_default();
        // Of a server at a URL nobody here sees what it writes.
        let is_seen = !upstream.starts_with("http://") && !upstream.starts_with("https://");
        return is_seen.then(|| "its server has written nothing to stderr".to_owned()).into_iter().collect();
    }
    let last = said.iter().skip(said.len().saturating_sub(8)).map(|line| format!("  {}: {}", line.source, line.text));
    std::iter::once("\nwhat was last said of it:".to_owned()).chain(last).collect()
}

/// Percent of a core from which on a process is at work.
const BUSY: u64 = 10;

/// Exchanges of a timeline, and messages of a diagram: those around the message that it was asked for at.
const MOST: usize = 500;

/// Columns that a text has in the window as it is, beside what lies around it.
fn room(model: &Model) -> usize {
    usize::from(model.viewport.width).saturating_sub(8)
}

/// The part of the session of a message that is of interest at the cursor: on the newest, what comes next, too.
fn part_at(model: &Model, near: Seq) -> SessionPart {
    let is_newest = model.tape.is_none() && model.messages().0.newest_beside(near) == Some(near);
    if is_newest || (model.tape.is_none() && model.list().follows()) {
        SessionPart::Newest(near)
    } else {
        SessionPart::Around(near)
    }
}

/// The message that a part is around, as things stand.
fn middle_of(model: &Model, part: SessionPart) -> Option<Seq> {
    match part {
        SessionPart::Around(near) => Some(near),
        SessionPart::Newest(near) => model.messages().0.newest_beside(near),
    }
}

/// How much of a session is shown, where that is not all.
fn part_words(shown: usize, all: Option<u64>, part: SessionPart) -> String {
    let of = all.filter(|all| *all > shown as u64).map(|all| format!(" of {all}")).unwrap_or_default();
    match part {
        SessionPart::Around(near) => format!(", {shown}{of}, around {near}"),
        SessionPart::Newest(_) => format!(", {shown}{of}, the newest"),
    }
}

/// Columns of the numbers.
fn number_width<'a>(numbers: impl Iterator<Item = &'a Envelope>) -> usize {
    numbers.map(|envelope| envelope.seq.to_string().len()).max().unwrap_or_default().max(7)
}

/// `g t`: the exchanges of the session around the message, each as a bar over its time.
pub(super) fn timeline(model: &mut Model) {
    let Some(near) = model.selected().map(|row| row.envelope.seq) else { return };
    let part = part_at(model, near);
    match timeline_text(model, part) {
        Some((title, _)) => open(model, title, PagerSubject::Timeline(part)),
        None => model.notify("no request of this session is here"),
    }
}

/// When a call began, how long it took or takes, and how it ended.
type CallSpan = (u64, u64, CallEnd);

/// How an exchange ended.
enum CallEnd {
    Answered,
    GivenUp,
    Open,
    /// Its session ended, or it was never sent on.
    Never,
}

fn call_span(model: &Model, row: &MessageRow) -> CallSpan {
    let (came, sent) = (row.envelope.at, sent_at(&row.envelope));
    if let Some(took) = model.messages().0.took(row) {
        return (sent, took, CallEnd::Answered);
    }
    match (MessageRows::given_up_after(row), model.open_age(row)) {
        // Who gave it up counted from when it asked.
        (Some(after), _) => (came, after, CallEnd::GivenUp),
        (None, Some(waits)) => (sent, waits, CallEnd::Open),
        (None, None) => (came, 0, CallEnd::Never),
    }
}

fn timeline_text(model: &Model, part: SessionPart) -> Option<(String, String)> {
    let (rows, near) = (model.messages().0, middle_of(model, part)?);
    let session = rows.get(near)?.envelope.session;
    let (requests, is_cut) = rows.around(near, MOST, |row| row.envelope.kind() == Kind::Request);
    let calls: Vec<_> = requests.iter().map(|row| (&row.envelope, call_span(model, row))).collect();
    // One that came first and was held may begin after one that came later.
    let first = calls.iter().map(|(_, (began, ..))| *began).min()?;
    let end = calls.iter().map(|(_, (began, took, _))| began + took).max().unwrap_or(first);
    let all = (end - first).max(1);
    // The number, the name, the bar, how long: names have a share of what bars leave.
    let name = (room(model) / 3).clamp(8, 24);
    let number = number_width(calls.iter().map(|(envelope, ..)| &***envelope));
    let bars = room(model).saturating_sub(name + number + 10).clamp(4, 48);
    let column = |at: u64| usize::try_from((at - first) * (bars as u64 - 1) / all).unwrap_or_default();
    let (full, open) = if model.settings.ascii { ("#", ">") } else { ("━", "▸") };
    let lines = calls.iter().map(|(envelope, (began, took, call_end))| {
        let (from, to) = (column(*began), column(began + took));
        let (tip, time) = match call_end {
            CallEnd::Answered => (full, micros_with_unit(*took)),
            CallEnd::GivenUp => ("x", format!("x{}", micros_with_unit(*took))),
            CallEnd::Open => (open, micros_with_unit(*took)),
            CallEnd::Never => ("x", "-".to_owned()),
        };
        let bar = format!("{}{}{tip}", " ".repeat(from), full.repeat(to - from));
        let subject = envelope.name().or(envelope.method()).unwrap_or_default();
        let (subject, seq) = (text::fit(&text::sanitize(subject), name), envelope.seq.to_string());
        format!("{seq:>number$} {} {} {time:>7}\n", text::pad(&subject, name), text::pad(&bar, bars))
    });
    let of = model.observed.sessions.get(session).filter(|_| model.tape.is_none()).map(|row| row.stats.requests);
    let part = if is_cut { part_words(calls.len(), of, part) } else { String::new() };
    Some((format!("timeline, {} in all{part}", micros_with_unit(all)), lines.collect()))
}

/// `g d`: the messages of the session around the message as a sequence diagram.
pub(super) fn sequence(model: &mut Model) {
    let Some(near) = model.selected().map(|row| row.envelope.seq) else { return };
    let part = part_at(model, near);
    if let Some((title, _)) = sequence_text(model, part) {
        open(model, title, PagerSubject::Sequence(part));
    }
}

fn sequence_text(model: &Model, part: SessionPart) -> Option<(String, String)> {
    let (rows, near) = (model.messages().0, middle_of(model, part)?);
    let session = rows.get(near)?.envelope.session;
    let (messages, is_cut) = rows.around(near, MOST, |_| true);
    let of = model.observed.sessions.get(session).filter(|_| model.tape.is_none()).map(|row| row.messages);
    let part = if is_cut { part_words(messages.len(), of, part) } else { String::new() };
    // Columns between the two lines; the number and the lines themselves stand beside them.
    let number = number_width(messages.iter().map(|row| &*row.envelope));
    let lane = room(model).saturating_sub(number + 3).clamp(20, 60);
    let mut text = format!("{:>2$}client{}server\n", "", " ".repeat(lane - 10), number + 1);
    for row in messages {
        let envelope = &row.envelope;
        let side = if model.settings.ascii { "|" } else { "│" };
        let arrow = arrow(model, envelope, &arrow_words(model, &row), lane);
        text.push_str(&format!("{:>number$} {side}{arrow}{side}\n", envelope.seq.to_string()));
    }
    Some((format!("sequence of the session{part}"), text))
}

/// What stands on the arrow of a message.
fn arrow_words(model: &Model, row: &MessageRow) -> String {
    let envelope = &row.envelope;
    // Its arrow begins at the line of the peer in whose place it was made.
    let mut words: Vec<_> = maker(envelope).map(|maker| format!("+ {maker}:")).into_iter().collect();
    words.push(envelope.kind().word().to_owned());
    words.extend([envelope.method(), envelope.name()].into_iter().flatten().map(str::to_owned));
    words.extend(envelope.reply_to.as_ref().map(|to| micros_with_unit(to.took)));
    let state = if matches!(row.state, RowState::Held(_)) { "held here" } else { "no reply" };
    words.extend(model.open_age(row).map(|waits| format!("({state} for {})", age(waits))));
    if row.reply.is_none() {
        let after = MessageRows::given_up_after(row);
        words.extend(after.map(|after| format!("(given up after {})", micros_with_unit(after))));
    }
    words.join(" ")
}

/// From one line to the other; what was not sent on does not arrive.
fn arrow(model: &Model, envelope: &Envelope, words: &str, lane: usize) -> String {
    let (line, right, left) = if model.settings.ascii { ("-", ">", "<") } else { ("─", "▶", "◀") };
    let words = text::fit(&text::sanitize(words), lane - 6);
    let rest = line.repeat(lane.saturating_sub(text::width(&words) + 5));
    match (envelope.direction, envelope.was_sent()) {
        (Direction::ToServer, false) => format!("{line}{line} {words} {rest}x"),
        (Direction::ToClient, false) => format!("x{line} {words} {rest}{line}"),
        (Direction::ToServer, true) => format!("{line}{line} {words} {rest}{right}"),
        (Direction::ToClient, true) => format!("{left}{line} {words} {rest}{line}"),
    }
}
