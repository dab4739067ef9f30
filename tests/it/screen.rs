//! The real binary in a pseudo-terminal: what a person types, and what they see.

use assert_cmd::assert::OutputAssertExt as _;

use crate::support::terminal::{CTRL_C, Caller, Terminal};

/// The demo's server as a child that knows nothing of tapline.
fn demo_server() -> [&'static str; 3] {
    ["--", env!("CARGO_BIN_EXE_tapline"), "__demo-server"]
}

fn run(more: &[&str]) -> Terminal {
    let mut arguments = vec!["run", "--listen", "127.0.0.1:0", "--no-record"];
    arguments.extend(more);
    arguments.extend(demo_server());
    Terminal::start(&arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_and_edit_a_call() {
    let mut terminal = run(&["--hold", "~tool get_forecast & ~q"]);
    let client = Caller::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.edit_the_held_city("Lisbon", "Oslo");
    let reply = call.await.unwrap();
    assert_eq!(reply["id"], 1);
    assert_eq!(reply["result"]["structuredContent"]["city"], "Oslo", "{reply}");
    terminal.press("1");
    terminal.wait("the edited row", |screen| {
        let contents = screen.contents();
        contents.lines().any(|line| line.contains('*') && line.contains("get_forecast")).then_some(())
    });
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn block_sends_the_chosen_error() {
    let mut terminal = run(&["--hold", "~tool get_forecast & ~q"]);
    let client = Caller::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.wait_for("1 held");
    terminal.press("2b");
    terminal.wait_for("blocked by operator");
    terminal.press("\r");
    let reply = call.await.unwrap();
    assert_eq!(reply["error"]["code"], -31001, "{reply}");
    // Else the screen would still ask what is to become of it.
    terminal.wait("nothing held", |screen| (!screen.contents().contains("1 held")).then_some(()));
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn quit_asks_about_a_held_call() {
    let mut terminal = run(&["--hold", "~tool get_forecast & ~q"]);
    let client = Caller::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.wait_for("1 held");
    terminal.press("Q");
    terminal.wait_for("forward");
    terminal.press("f");
    assert_eq!(call.await.unwrap()["result"]["structuredContent"]["city"], "Lisbon");
    terminal.ends_with(0);
}

#[test]
fn ctrl_c_twice_quits() {
    let mut terminal = run(&[]);
    terminal.url();
    terminal.press(CTRL_C);
    terminal.press(CTRL_C);
    terminal.ends_with(0);
}

#[test]
fn sigterm_and_sighup_restore_the_terminal() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::HUP] {
        let terminal = run(&[]);
        terminal.url();
        let id = terminal.process();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
        terminal.ends_with(143);
    }
}

/// The terminal is still on its other screen, with what was typed there since.
#[test]
fn leftovers_of_a_killed_tapline_are_cleared() {
    let arguments =
        ["run", "--listen", "127.0.0.1:0", "--no-record"].iter().chain(&demo_server()).copied().collect::<Vec<_>>();
    let left = format!("\x1b[?1049h\x1b[H{}", "left over ".repeat(12 * 36));
    let mut terminal = Terminal::after(&left, &arguments);
    terminal.wait_for("nothing has passed yet");
    terminal.wait("a screen of one tapline", |screen| (!screen.contents().contains("left over")).then_some(()));
    terminal.press("Q");
    terminal.ends_with(0);
}

/// Of the one tape in a directory.
fn opened_tape(dir: &str) -> Terminal {
    let mut terminal =
        Terminal::start(&[&["run", "--listen", "127.0.0.1:0", "--tapes", dir][..], &demo_server()].concat());
    terminal.press("4");
    terminal.wait_for("pty");
    terminal.press("\r");
    terminal.wait_for("get_forecast");
    terminal
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_and_comments_are_on_the_tape_when_it_is_opened_again() {
    let tapes = tempfile::tempdir().unwrap();
    let dir = tapes.path().to_str().unwrap();
    let shown = || {
        let tape = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
        let tape = tape.to_str().unwrap();
        let output = |more: &[&str]| {
            let assert = crate::support::binary::command().args(more).assert().success();
            String::from_utf8(assert.get_output().stdout.clone()).unwrap()
        };
        assert!(
            output(&["tape", "verify", tape]).contains("sealed, unchanged"),
            "{}",
            output(&["tape", "verify", tape])
        );
        assert!(output(&["tape", "export", tape, "--format", "markdown"]).contains("`marked"));
        (output(&["tape", "show", tape]), output(&["tape", "show", tape, "--filter", "~comment slow"]))
    };
    let mut terminal =
        Terminal::start(&[&["run", "--listen", "127.0.0.1:0", "--tapes", dir][..], &demo_server()].concat());
    let client = Caller::connect(terminal.url()).await;
    client.forecast("Lisbon").await;
    terminal.wait_for("get_forecast");
    terminal.press(":1\rm:1\r;why so slow?\r");
    terminal.wait_for("; why so slow?");
    terminal.press("Q");
    terminal.ends_with(0);
    let (all, found) = shown();
    assert!(
        all.contains("; marked: why so slow?") && found.lines().filter(|it| it.contains("initialize")).count() == 1,
        "{all}"
    );

    // On the tape that was opened it is taken back, and another is made.
    let mut terminal = opened_tape(dir);
    terminal.press(":1\r");
    terminal.wait_for("; why so slow?");
    terminal.press(";\x15\r:2\r;the answer\r");
    terminal.wait_for("; the answer");
    terminal.press("Q");
    terminal.ends_with(0);
    let (all, found) = shown();
    assert!(all.contains("; marked\n") && all.contains("; the answer") && !all.contains("slow"), "{all}");
    assert!(!found.contains("initialize"), "{found}");
}

#[test]
fn demo_is_live_and_says_goodbye() {
    let mut terminal = Terminal::start(&["demo", "--no-record"]);
    terminal.wait_for("tools/list");
    terminal.wait_for("1 held");
    terminal.press("Q");
    terminal.wait_for("forward");
    terminal.press("f");
    terminal.wait("the goodbye", |screen| {
        (!screen.alternate_screen() && screen.contents().contains("tapline run")).then_some(())
    });
    terminal.ends_with(0);
}

#[test]
fn tiny_terminal_does_not_crash() {
    let mut terminal = Terminal::sized(&["demo", "--no-record"], 5, 20);
    terminal.wait("a line of status", |screen| screen.alternate_screen().then_some(()));
    terminal.press("\x1b2?q1Q");
    terminal.press("Q");
    drop(terminal);
}

#[tokio::test(flavor = "multi_thread")]
async fn resize_is_drawn_though_nothing_is_typed() {
    let mut terminal = run(&[]);
    terminal.url();
    let last_line = |screen: &vt100::Screen| {
        let (_, cols) = screen.size();
        screen.rows(0, cols.get()).last().filter(|line| line.contains("help"))
    };
    terminal.wait("the line of keys", last_line);
    for (rows, cols) in [(20, 100), (36, 120)] {
        terminal.resize(rows, cols);
        terminal.wait("the line of keys at the new end", last_line);
    }
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn dumb_terminal_gets_lines_and_a_word() {
    let mut arguments = vec!["run", "--listen", "127.0.0.1:0", "--no-record"];
    arguments.extend(demo_server());
    for (term, word) in [("dumb", "`dumb`"), ("", "not set")] {
        let mut terminal = Terminal::with(&arguments, &[("TERM", term)]);
        terminal.wait_for(&format!("`TERM` is {word}: a line a message instead of the screen"));
        terminal.press(CTRL_C);
        terminal.ends_with(130);
    }
    let demo = Terminal::with(&["demo", "--listen", "127.0.0.1:0", "--no-record"], &[("TERM", "dumb")]);
    demo.wait_for("`TERM` is `dumb`: a line a message instead of the screen");
    demo.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_piped_and_the_mouse_clicks() {
    let mut terminal = run(&[]);
    let client = Caller::connect(terminal.url()).await;
    client.forecast("Lisbon").await;
    terminal.wait_for("get_forecast");
    terminal.press("|");
    terminal.press("wc -c | sed s/^/count:/\r");
    // What it printed, and not the line that was typed.
    terminal.wait_for("1 line ");
    // The last of several commands succeeds, whatever became of the first.
    terminal.press("q|");
    terminal.press("no-such-program | cat\r");
    terminal.wait_for("not found");
    // The queue's name in the bar, by a terminal's own words for a click.
    terminal.press("q\x1b[<0;18;2M\x1b[<0;18;2m");
    terminal.wait_for("nothing is held");
    terminal.press("Q");
    terminal.ends_with(0);
}
