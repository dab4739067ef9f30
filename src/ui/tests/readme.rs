//! The pictures of the README: the screen itself, drawn as SVG.
//!
//! After a change of the screen on purpose: `PICTURES_UPDATE=always cargo test --lib readme`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::metrics::{endpoint, spread};
use super::rig::{Rig, START, World, held, session, text_result};
use crate::envelope::{Direction, Envelope, Outcome, Via};
use crate::event::figures::{Figures, Flow};
use crate::event::{Event, Holding};
use crate::text;
use crate::ui::Settings;
use crate::ui::settings::ColorTheme;

/// A picture: its file, what it says to who does not see it, and what leads there.
type ReadmePicture = (&'static str, &'static str, fn(&mut Rig));

const PICTURES: [ReadmePicture; 3] = [
    ("messages.svg", "tapline: sessions, messages, and the tree of a held call", |rig| {
        rig.press(": 9 enter");
    }),
    ("editor.svg", "tapline: the editor beside a diff against the original", |rig| {
        rig.press("2 e");
        let editor = rig.model.editor.as_mut().unwrap();
        let text = editor.text().replace("2026-02-29", "2026-03-02");
        editor.replace(&text);
    }),
    ("metrics.svg", "tapline: the metrics screen", |rig| {
        rig.press("5");
    }),
];

#[test]
fn readme_pictures_are_those_of_the_screen() {
    let assets = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/assets"));
    let readme = std::fs::read_to_string(assets.with_file_name("README.md")).unwrap();
    let updates = std::env::var("PICTURES_UPDATE").is_ok_and(|it| it == "always");
    for (file, words, scene) in PICTURES {
        let mut rig = demo();
        scene(&mut rig);
        rig.model.notice = None;
        rig.picture();
        let (drawn, path) = (svg(rig.buffer(), words), assets.join(file));
        if updates {
            std::fs::write(&path, &drawn).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).is_ok_and(|kept| kept == drawn),
            "{file} is not the screen: `PICTURES_UPDATE=always cargo test --lib readme` draws it\n{}",
            rig.picture()
        );
        assert!(readme.contains(&format!("(assets/{file})")), "{file} is not in the README");
    }
}

/// Text as wide as its cells, whatever the font; colours as classes.
#[test]
fn drawn_svg_has_each_run_of_a_style_in_its_place() {
    use ratatui::style::Style;
    let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, 12, 2));
    buffer.set_string(1, 0, "<a&b>  x", Style::new().fg(Color::Indexed(210)).add_modifier(Modifier::BOLD));
    buffer.set_string(0, 1, "ab", Style::new().fg(Color::Indexed(16)).bg(Color::Indexed(80)));
    let drawn = svg(&buffer, "a \"b\"");
    for expected in [
        "aria-label=\"a &quot;b&quot;\"",
        r#"<text x="20.4" y="25" textLength="42.2" lengthAdjust="spacingAndGlyphs" class="a">&lt;a&amp;b&gt;</text>"#,
        r#"<text x="79.4" y="25" textLength="8.4" lengthAdjust="spacingAndGlyphs" class="a">x</text>"#,
        r##"<rect x="12" y="29" width="16.9" height="17" fill="#5fd7d7"/>"##,
        ".a{fill:#ff8787;font-weight:bold}",
        ".b{fill:#000000}",
    ] {
        assert!(drawn.contains(expected), "no {expected} in {drawn}");
    }
}

/// The story of the demo, as far as the booking that is held.
fn demo() -> Rig {
    let settings = Settings { theme: ColorTheme::Dark, ..Settings::default() };
    let mut rig = Rig::with(120, 32, &settings);
    let mut world = World::new();
    world.seq = 0;
    let (url, upstream) = ("http://127.0.0.1:7070/mcp".to_owned(), "http://127.0.0.1:33033/mcp".to_owned());
    rig.on_event(Event::Listening { url, upstream });
    let story = session(1, "tapline-demo", ("demo-client", "1.0"), Via::Http);
    rig.on_event(Event::SessionOpened(story.into()));
    rig.on_event(Event::Holding(Holding { on: true, filter: "~tool book_flight".to_owned() }));
    for second in 0..20 {
        rig.on_event(Event::Figures(Arc::new(figures(second))));
    }
    let passed = |envelope: &Envelope| Event::Passed(Arc::new(envelope.clone()));
    let listed = r#""result":{"tools":[{"name":"get_forecast"},{"name":"search_flights"},{"name":"book_flight"}]}"#;
    let asked = [
        (asking(&mut world, 1, "tools/list", "{}"), 1, listed.to_owned()),
        (
            asking(&mut world, 2, "resources/list", "{}"),
            1,
            r#""result":{"resources":[{"uri":"file:///trips/lisbon.md","name":"lisbon"}]}"#.to_owned(),
        ),
    ];
    for (request, took, result) in &asked {
        let reply = world.reply(request, *took, result);
        [request, &reply].into_iter().for_each(|it| rig.on_event(passed(it)));
    }
    for (id, tool, arguments, took, result) in [
        (
            3,
            "get_forecast",
            r#"{"city":"Lisbon"}"#,
            2,
            r#"{"city":"Lisbon","days":[{"day":"Mon","sky":"sun","high":19}]}"#,
        ),
        (
            4,
            "search_flights",
            r#"{"from":"Oslo","to":"Lisbon"}"#,
            14,
            r#"[{"flight":"TP204","days":["2026-03-02","2026-03-05"]}]"#,
        ),
    ] {
        let call = world.call(1, id, tool, arguments);
        let reply = world.reply(&call, took, &text_result(result));
        [&call, &reply].into_iter().for_each(|it| rig.on_event(passed(it)));
    }
    rest(&mut rig, &mut world);
    rig
}

/// The story from the call that is held on.
fn rest(rig: &mut Rig, world: &mut World) {
    let book = world.call(1, 5, "book_flight", r#"{"date":"2026-02-29","flight":"TP204","passenger":"Ada L."}"#);
    rig.on_event(held(1, book, 19));
    let mut pass = |envelope: &Envelope| rig.on_event(Event::Passed(Arc::new(envelope.clone())));
    let index = world.call(1, 6, "index_documents", "{}");
    pass(&index);
    for step in 1..=3 {
        let params = format!(r#"{{"progressToken":"index-1","progress":{step},"total":3,"message":"indexing"}}"#);
        let raw = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
        pass(&world.message(1, Direction::ToClient, &raw));
    }
    let indexed = world.reply(&index, 456, &text_result("3 documents indexed"));
    pass(&indexed);
    let read = world.call(1, 7, "read_file", r#"{"path":"/trips/kyoto.md"}"#);
    let mut file = world.reply(&read, 3, &text_result("# Kyoto\n\n- Fushimi Inari at dawn\n"));
    file.outcome = Outcome::Edited(crate::envelope::Author::Operator);
    let wrong = world.call(1, 8, "book_flight", r#"{"date":"2026-03-02","flight":"XX1","passenger":"Ada L."}"#);
    let refused = world.reply(&wrong, 1, r#""error":{"code":-32602,"message":"Invalid arguments: no flight XX1"}"#);
    [&read, &file, &wrong, &refused].into_iter().for_each(&mut pass);
    rig.model.notice = None;
}

fn asking(world: &mut World, id: u32, method: &str, params: &str) -> Envelope {
    let raw = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
    world.message(1, Direction::ToServer, &raw)
}

fn figures(second: u64) -> Figures {
    let messages = second * 3 + second % 4;
    let tool = |name, took: &[(u64, u64)], failed| endpoint("tools/call", Some(name), took, failed);
    Figures {
        at: START.plus_micros(second * 1_000_000),
        taplines: 1,
        to_server: Flow { messages, notifications: 3, bytes: messages * 110 },
        to_client: Flow { messages: messages * 5 / 4, notifications: 9, bytes: messages * 260 },
        endpoints: vec![
            tool("get_forecast", &[(700, 3), (1_400, 8), (6_400, 1)], 0),
            tool("book_flight", &[(900, 5), (7_900, 2), (13_000, 1)], u64::from(second > 9)),
            tool("search_flights", &[(1_300, 6), (2_900, 1)], 0),
            tool("index_documents", &[(456_000, 5), (476_000, 1)], 0),
            tool("read_file", &[(1_000, 5), (1_400, 1)], 0),
            endpoint("resources/list", None, &[(1_600, 4), (7_000, 1)], 0),
            endpoint("prompts/get", Some("packing_list"), &[(1_400, 3), (2_400, 1)], 0),
            endpoint("tools/list", None, &[(7_000, 1)], 0),
        ],
        added: spread(&[(90_000, 40), (140_000, 20), (310_000, 2)]),
        ..Figures::default()
    }
}

/// Cells, and what is around them, in pixels of the picture.
const CELL: (f64, f64) = (8.43, 17.0);
const MARGIN: f64 = 12.0;
/// The ground of a dark terminal: the picture brings its own, and is the same on light pages and dark ones.
const GROUND: &str = "#16181a";
const LETTERS: &str = "#d5d1c7";

/// Draws what is on the screen.
fn svg(buffer: &Buffer, words: &str) -> String {
    let (columns, rows) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let (width, height) = (2.0 * MARGIN + columns as f64 * CELL.0, 2.0 * MARGIN + rows as f64 * CELL.1);
    let (mut classes, mut body) = (Vec::new(), String::new());
    for (row, cells) in buffer.content.chunks(columns).enumerate() {
        draw_row(row, cells, &mut classes, &mut body);
    }
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"{2}\">\n<style>\n",
        width.ceil(),
        height.ceil(),
        escaped(words)
    );
    drawn +=
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}\n";
    for (at, class) in classes.iter().enumerate() {
        let _ = writeln!(drawn, ".{}{{{class}}}", class_name(at));
    }
    let _ =
        write!(drawn, "</style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{GROUND}\"/>\n{body}</svg>\n");
    drawn
}

/// What cells stand on, and above that one element for each run of letters of one style: some programs draw several blanks as one.
fn draw_row(row: usize, cells: &[Cell], classes: &mut Vec<String>, body: &mut String) {
    let top = MARGIN + row as f64 * CELL.1;
    let x = |column: usize| short(MARGIN + column as f64 * CELL.0);
    let mut begin = 0;
    for run in cells.chunk_by(|one, other| shown_style(one).1 == shown_style(other).1) {
        if let (_, Some(ground)) = shown_style(&run[0]) {
            let (x, y, width) = (x(begin), short(top), short(run.len() as f64 * CELL.0));
            let _ = writeln!(body, r#"<rect x="{x}" y="{y}" width="{width}" height="17" fill="{ground}"/>"#);
        }
        begin += run.len();
    }
    let mut column = 0;
    while column < cells.len() {
        let (style, _) = shown_style(&cells[column]);
        let (mut end, mut run) = (column, String::new());
        while end < cells.len() && shown_style(&cells[end]).0 == style && !run.ends_with("  ") {
            run.push_str(cells[end].symbol());
            end += text::width(cells[end].symbol()).max(1);
        }
        let words = run.trim();
        if !words.is_empty() {
            let before = text::width(run.split(words).next().unwrap_or_default());
            let (x, y) = (x(column + before), short(top + 13.0));
            let length = short(text::width(words) as f64 * CELL.0);
            let place = format!(r#"x="{x}" y="{y}" textLength="{length}" lengthAdjust="spacingAndGlyphs""#);
            let class = class_of(&style, classes);
            let _ = writeln!(body, r#"<text {place} class="{class}">{}</text>"#, escaped(words));
        }
        column = end;
    }
}

/// How a cell's letters are drawn, and what they stand on.
fn shown_style(cell: &Cell) -> (String, Option<String>) {
    let (mut letters, mut ground) = (colour(cell.fg), colour(cell.bg));
    if cell.modifier.contains(Modifier::REVERSED) {
        let turned = (ground.unwrap_or_else(|| GROUND.to_owned()), letters.unwrap_or_else(|| LETTERS.to_owned()));
        (letters, ground) = (Some(turned.0), Some(turned.1));
    }
    let mut style = format!("fill:{}", letters.as_deref().unwrap_or(LETTERS));
    for (modifier, rule) in [
        (Modifier::BOLD, ";font-weight:bold"),
        (Modifier::DIM, ";opacity:.6"),
        (Modifier::UNDERLINED, ";text-decoration:underline"),
    ] {
        style += if cell.modifier.contains(modifier) { rule } else { "" };
    }
    (style, ground)
}

/// A colour of the 256 that terminals have; nothing for the terminal's own.
fn colour(colour: Color) -> Option<String> {
    let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * u32::from(part) };
    match colour {
        Color::Reset => None,
        Color::Indexed(index @ 16..232) => {
            let [red, green, blue] = [(index - 16) / 36, (index - 16) / 6 % 6, (index - 16) % 6].map(level);
            Some(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        Color::Indexed(index @ 232..) => {
            let grey = 8 + 10 * u32::from(index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
        other => panic!("{other} depends on the terminal: the dark theme has none of these"),
    }
}

fn class_of(style: &str, classes: &mut Vec<String>) -> char {
    let at = classes.iter().position(|class| class == style).unwrap_or_else(|| {
        classes.push(style.to_owned());
        classes.len() - 1
    });
    class_name(at)
}

fn class_name(at: usize) -> char {
    char::from(b'a' + u8::try_from(at).expect("there are few styles"))
}

fn short(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
