//! A replay with a person at it: what differs is ignored from then on, or taken over into the tape.

use std::path::{Path, PathBuf};

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Seq;
use tapline::event::{Command, Event, LogLine, ReplayEvent, ReplayRequest, ReplaySummary, StepReport};
use tempfile::TempDir;

use crate::support::{Rig, Server, settings};

/// Two calls whose replies say that something is small; `server` says that it is large.
fn tape(dir: &Path) -> PathBuf {
    let session = "0190163d-8694-739b-aea5-966c26f8ad91";
    let mut text =
        json!({"tapline": 1, "version": "0", "session": session, "upstream": "http://a/", "via": "http", "started": 7})
            .to_string();
    for id in [1, 2] {
        let (request, reply) = (2 * id - 1, 2 * id);
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "look"}});
        let said = json!({"jsonrpc": "2.0", "id": id, "result": {"size": "small", "of": [1, 2.50]}});
        text += &format!(
            "\n{{\"seq\":{request},\"at\":{request},\"dir\":\"c2s\",\"via\":\"http\",\"kind\":\"request\",\"method\":\"tools/call\",\"id\":{id},\"msg\":{call}}}"
        );
        text += &format!(
            "\n{{\"seq\":{reply},\"at\":{reply},\"dir\":\"s2c\",\"via\":\"http\",\"kind\":\"result\",\"id\":{id},\"re\":{request},\"msg\":{said}}}"
        );
    }
    let path = dir.join("a.tape.jsonl");
    std::fs::write(&path, text + "\n").unwrap();
    path
}

async fn rig(dir: &Path) -> Rig {
    let url = Server::answering(|exchange| {
        let result = json!({"size": "large", "of": [1, 2.5]});
        json!({"jsonrpc": "2.0", "id": exchange.message()["id"], "result": result}).to_string()
    });
    Rig::start(Settings { tape_library: Some(dir.to_owned()), ..settings(&url.await) }).await
}

fn replay(tape: &Path, by_step: bool, ignore: &[&str]) -> Command {
    let ignore = ignore.iter().map(|path| (*path).to_owned()).collect();
    Command::Replay(ReplayRequest { by_step, ignore, ..ReplayRequest::of(tape.to_owned()) })
}

fn replayed(event: &Event) -> Option<&ReplayEvent> {
    if let Event::Replay(event) = event { Some(event) } else { None }
}

async fn summary(rig: &Rig, nth: usize) -> ReplaySummary {
    let finished = |event: &Event| match replayed(event)? {
        ReplayEvent::Finished(summary) => Some(summary.clone()),
        _ => None,
    };
    rig.until("the end of a replay", move |log| log.iter().filter_map(finished).nth(nth)).await
}

async fn waits(rig: &Rig, nth: usize) {
    let waiting = |event: &&ReplayEvent| matches!(event, ReplayEvent::Waiting(_));
    rig.until("a message that waits", move |log| log.iter().filter_map(replayed).filter(waiting).nth(nth).map(drop))
        .await;
}

async fn step(rig: &Rig, request: u64) -> StepReport {
    rig.event("a step", move |event| match replayed(event)? {
        ReplayEvent::Step(step) if step.seq == Seq(request) => Some(step.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn paths_are_ignored_from_the_next_reply_on() {
    let dir = TempDir::new().unwrap();
    let (tape, rig) = (tape(dir.path()), rig(dir.path()).await);
    rig.command_now(replay(&tape, true, &[]));
    waits(&rig, 0).await;
    rig.command_now(Command::StepReplay);
    assert_eq!(step(&rig, 1).await.differences[0].path, ".result.size");
    waits(&rig, 1).await;
    // Of another tape nothing is ignored, and what is no path is said.
    let paths = vec![".result.size".to_owned(), "/result".to_owned()];
    rig.command_now(Command::IgnoreInReplay { tape: dir.path().join("b.tape.jsonl"), paths: Vec::new() });
    rig.command_now(Command::IgnoreInReplay { tape: tape.clone(), paths });
    rig.command_now(Command::StepReplay);
    let told = summary(&rig, 0).await;
    assert_eq!((told.passed, told.failed, told.excused), (1, 1, 1), "{told:?}");
    let said = |event: &Event| {
        matches!(event, Event::Log(LogLine { text, .. }) if text.starts_with("`/result` is not a path")).then_some(())
    };
    rig.event("why it is none", said).await;
    rig.command_now(replay(&tape, false, &[".result.size"]));
    let told = summary(&rig, 1).await;
    assert_eq!((told.passed, told.failed, told.excused), (2, 0, 2), "{told:?}");
}

#[tokio::test]
async fn reply_that_is_accepted_is_what_the_tape_expects() {
    let dir = TempDir::new().unwrap();
    let (tape, rig) = (tape(dir.path()), rig(dir.path()).await);
    rig.command_now(replay(&tape, false, &[]));
    assert_eq!(summary(&rig, 0).await.failed, 2);
    let accept = |tape: &Path, request| Command::AcceptReply { tape: tape.to_owned(), request: Seq(request) };
    let before = std::fs::read_to_string(&tape).unwrap();
    rig.command_now(accept(&tape, 3));
    let accepted = rig.event("what was accepted", |event| match replayed(event)? {
        ReplayEvent::Accepted { request, values, left, .. } => Some((*request, *values, left.clone())),
        _ => None,
    });
    assert_eq!(accepted.await, (Seq(3), 1, Vec::new()));
    let now = std::fs::read_to_string(&tape).unwrap();
    let at = before.rfind("small").unwrap();
    assert_eq!(now, format!("{}large{}", &before[..at], &before[at + 5..]), "no other byte moves");
    rig.command_now(replay(&tape, false, &[]));
    let told = summary(&rig, 1).await;
    assert_eq!((told.passed, told.failed), (1, 1));

    let refused = async |request, why: &'static str| {
        rig.command_now(request);
        let said = |event: &Event| matches!(event, Event::Log(line) if line.text.ends_with(why)).then_some(());
        rig.event(why, said).await;
    };
    refused(accept(&tape, 3), "what the server answered is not known any more; play it again").await;
    let elsewhere = TempDir::new().unwrap();
    let other = elsewhere.path().join("a.tape.jsonl");
    std::fs::copy(&tape, &other).unwrap();
    rig.command_now(replay(&other, false, &[]));
    summary(&rig, 2).await;
    refused(accept(&other, 1), "it is not kept here").await;
    assert_eq!(std::fs::read_to_string(&other).unwrap(), now);
}

#[tokio::test]
async fn tape_that_is_gone_is_named_once() {
    let dir = TempDir::new().unwrap();
    let (tape, rig) = (tape(dir.path()), rig(dir.path()).await);
    rig.command_now(replay(&tape, false, &[]));
    summary(&rig, 0).await;
    std::fs::remove_file(&tape).unwrap();
    rig.command_now(Command::AcceptReply { tape: tape.clone(), request: Seq(3) });
    let once = format!("there is no tape {}; `tapline tape ls` lists those that are kept", tape.display());
    rig.event(&once, |event| matches!(event, Event::Log(line) if line.text == once).then_some(())).await;
}
