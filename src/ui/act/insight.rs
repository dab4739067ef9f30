//! What the messages say together: why a call has no reply yet, and how a session went in time.

use crate::envelope::{Direction, Envelope, SessionId};
use crate::event::{Level, SessionState};
use crate::message::Kind;
use crate::text::micros_with_unit;
use crate::ui::keymap::with_keys;
use crate::ui::model::message_rows::RowState;
use crate::ui::model::popup::{Pager, Popup};
use crate::ui::model::{Model, age};

/// `g w`: what is known of a call that has no reply yet.
pub(super) fn why(model: &mut Model) {
    let Some(row) = model.request_here() else { return model.notify("only a request waits for a reply") };
    let request = row.envelope.clone();
    if let Some(reply) = row.reply {
        return model.notify(format!("{} is answered by {reply}", request.seq));
    }
    let mut lines = Vec::new();
    let waits = model.open_age(&row).map(age);
    lines.push(match (row.state, waits) {
        (RowState::Held(_), _) => "it is held here: `<held forward>` sends it on".to_owned(),
        (_, Some(age)) => format!("it went on to the server, and there is no reply after {age}"),
        (_, None) if !request.was_sent() => "it was never sent on".to_owned(),
        (_, None) => "its session has ended: no reply will come".to_owned(),
    });
    lines.extend(session_lines(model, request.session));
    lines.extend(traffic_lines(model, &request));
    lines.extend(server_lines(model, request.session));
    let title = format!("why does {} {} hang?", request.seq, request.name().or(request.method()).unwrap_or_default());
    model.popup = Some(Popup::Pager(Pager::new(title, with_keys(&model.settings.keys, &lines.join("\n")))));
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

/// What else is on its way in the session, and what came from the server since.
fn traffic_lines(model: &Model, request: &Envelope) -> Vec<String> {
    let (rows, _) = model.messages();
    let from = rows.find(request.seq).unwrap_or_else(|near| near);
    let later = (from + 1..rows.len()).filter_map(|position| rows.at(position));
    let (mut since, mut open, mut last) = (0, 0, None);
    for row in later.filter(|row| row.envelope.session == request.session).take(10_000) {
        let is_back = row.envelope.direction != request.direction;
        since += usize::from(is_back);
        open += usize::from(row.envelope.kind() == Kind::Request && row.reply.is_none());
        if is_back {
            last = Some(row.envelope.clone());
        }
    }
    let mut lines = vec![match since {
        0 => "nothing came back from there since: it is busy, blocked, or does not read".to_owned(),
        count => format!("{count} messages came back from there since, so it is alive"),
    }];
    lines.extend(last.map(|last| format!("the last of them: {} {}", last.seq, last.method().unwrap_or_default())));
    if open > 0 {
        lines.push(format!("{open} later requests wait as well: it may take one at a time"));
    }
    lines
}

/// What the server last wrote to stderr, and what tapline said of the session.
fn server_lines(model: &Model, id: SessionId) -> Vec<String> {
    let of = model.log.all().filter(|line| line.session == Some(id));
    let said: Vec<_> = of.filter(|line| line.source == "server" || line.level >= Level::Warn).collect();
    if said.is_empty() {
        return vec!["its server has written nothing to stderr".to_owned()];
    }
    let last = said.iter().skip(said.len().saturating_sub(8)).map(|line| format!("  {}: {}", line.source, line.text));
    std::iter::once("\nwhat was last said of it:".to_owned()).chain(last).collect()
}

/// Columns of the bars.
const BARS: usize = 48;
/// Exchanges of a timeline: the latest.
const MOST: usize = 500;

/// `g t`: the exchanges of the session of the message, each as a bar over its time.
pub(super) fn timeline(model: &mut Model) {
    let Some(session) = model.selected().map(|row| row.envelope.session) else { return };
    let (rows, _) = model.messages();
    let of = (0..rows.len()).rev().filter_map(|position| rows.at(position));
    let requests = of.filter(|row| row.envelope.session == session && row.envelope.kind() == Kind::Request).take(MOST);
    let mut calls: Vec<_> = requests
        .map(|row| {
            let took = rows.took(&row).or_else(|| model.open_age(&row));
            (row.envelope.clone(), took.unwrap_or_default(), row.reply.is_none())
        })
        .collect();
    calls.reverse();
    let Some(first) = calls.first().map(|(envelope, ..)| envelope.at) else {
        return model.notify("no request of this session is here");
    };
    let end = calls.iter().map(|(envelope, took, _)| envelope.at + took).max().unwrap_or(first);
    let all = (end - first).max(1);
    let column = |at: u64| usize::try_from((at - first) * (BARS as u64 - 1) / all).unwrap_or_default();
    let (full, open) = if model.settings.ascii { ("#", ">") } else { ("━", "▸") };
    let lines = calls.iter().map(|(envelope, took, is_open)| {
        let (from, to) = (column(envelope.at), column(envelope.at + took));
        let bar = format!("{}{}{}", " ".repeat(from), full.repeat(to - from), if *is_open { open } else { full });
        let subject = envelope.name().or(envelope.method()).unwrap_or_default();
        let (subject, seq) = (crate::text::fit(&crate::text::sanitize(subject), 24), envelope.seq.to_string());
        format!(
            "{seq:>7} {} {} {:>7}\n",
            crate::text::pad(&subject, 24),
            crate::text::pad(&bar, BARS),
            micros_with_unit(*took)
        )
    });
    let text: String = lines.collect();
    let title = format!("timeline, {} in all", micros_with_unit(all));
    model.popup = Some(Popup::Pager(Pager::new(title, text)));
}

/// Columns between the two lines of a sequence diagram.
const LANE: usize = 60;

/// `g d`: the messages of the session of the message as a sequence diagram.
pub(super) fn sequence(model: &mut Model) {
    let Some(session) = model.selected().map(|row| row.envelope.session) else { return };
    let (rows, _) = model.messages();
    let of = (0..rows.len()).rev().filter_map(|position| rows.at(position));
    let mut messages: Vec<_> = of.filter(|row| row.envelope.session == session).take(MOST).collect();
    messages.reverse();
    let (line, right, left, side) =
        if model.settings.ascii { ("-", ">", "<", "|") } else { ("─", "▶", "◀", "│") };
    let mut text = format!("{:>8}client{}server\n", "", " ".repeat(LANE - 8));
    for row in messages {
        let envelope = &row.envelope;
        let mut words = vec![envelope.kind().word().to_owned()];
        words.extend([envelope.method(), envelope.name()].into_iter().flatten().map(str::to_owned));
        words.extend(envelope.reply_to.as_ref().map(|to| micros_with_unit(to.took)));
        let words = crate::text::fit(&crate::text::sanitize(&words.join(" ")), LANE - 6);
        let rest = line.repeat(LANE.saturating_sub(crate::text::width(&words) + 5));
        // What was not sent on does not arrive.
        let arrow = match (envelope.direction, envelope.was_sent()) {
            (Direction::ToServer, false) => format!("{line}{line} {words} {rest}x"),
            (Direction::ToClient, false) => format!("x{line} {words} {rest}{line}"),
            (Direction::ToServer, true) => format!("{line}{line} {words} {rest}{right}"),
            (Direction::ToClient, true) => format!("{left}{line} {words} {rest}{line}"),
        };
        let seq = envelope.seq.to_string();
        text.push_str(&format!("{seq:>7} {side}{arrow}{side}\n"));
    }
    model.popup = Some(Popup::Pager(Pager::new("sequence of the session".to_owned(), text)));
}
