//! Breakpoints between a real client and a real server: what stops, what goes on by itself, and what is left alone.

use std::fs;

use serde_json::json;
use tapline::app::{BreakpointSettings, Settings};
use tapline::event::{BreakpointCommand, Command, Decision, Event, Level};
use tapline::intercept::points::of_words;

use crate::support::scripts::server;
use crate::support::{INITIALIZE, Rig, Server, client_in_session, request, settings};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search"}}"#;
const REPLY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;

async fn stopping_at(words: &[&str]) -> Rig {
    let url = Server::answering(|exchange| REPLY.replace('7', &exchange.message()["id"].to_string())).await;
    let points = words.iter().map(|words| of_words(words).unwrap()).collect();
    let breakpoints = BreakpointSettings { points, file: None };
    Rig::start(Settings { breakpoints, ..settings(&url) }).await
}

#[tokio::test]
async fn breakpoint_skips_stops_once_and_counts() {
    let rig = stopping_at(&["~q ~tool search; skip=1; once"]).await;
    let mut client = rig.client().await;
    assert_eq!(client.call(CALL).await.body, REPLY, "the first is let by");
    client.post(CALL).await;
    let held = rig.held(1).await;
    assert_eq!(held.reason, "breakpoint 1: ~q ~tool search");
    rig.settle(held.ticket, Decision::Forward);
    assert_eq!(client.response().await.body, REPLY);
    assert_eq!(client.call(CALL).await.body, REPLY, "it stops once");
    let status = rig
        .event("a hit", |event| match event {
            Event::Figures(figures) => figures.breakpoints.first().filter(|it| it.hits == 1).cloned(),
            _ => None,
        })
        .await;
    assert!(!status.point.is_on);
}

#[tokio::test]
async fn breakpoint_says_a_line_in_place_of_a_stop() {
    let rig = stopping_at(&["~q ~tool search; log=seen", "~q ~tool other"]).await;
    let mut client = rig.client().await;
    assert_eq!(client.call(CALL).await.body, REPLY);
    rig.line(Level::Info, "seen (hit 1)").await;
}

#[tokio::test]
async fn breakpoint_of_one_session_lets_others_by() {
    let rig = Rig::script(server!(r#"*'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;;"#)).await;
    let (mut one, mut other) = (client_in_session(&rig).await, client_in_session(&rig).await);
    let session = rig.session(1).await;
    let point = of_words(&format!("~q ~tool search; session={}", session.short())).unwrap();
    rig.command_now(Command::Breakpoints(BreakpointCommand::Add(point)));
    rig.event("the breakpoint", |event| matches!(event, Event::Figures(it) if it.breakpoints.len() == 1).then_some(()))
        .await;
    assert_eq!(other.call(CALL).await.status(), "200");
    one.post(CALL).await;
    let held = rig.held(1).await;
    assert_eq!(held.envelope.session, session);
    rig.settle(held.ticket, Decision::Forward);
    assert_eq!(one.response().await.status(), "200");
}

#[tokio::test]
async fn breakpoint_ends_by_its_policy() {
    for (policy, expected) in
        [("deadline=50ms", json!({"content": []})), ("deadline=50ms; answer={\"ours\":true}", json!({"ours": true}))]
    {
        let rig = stopping_at(&[&format!("~q ~tool search; {policy}")]).await;
        let mut client = rig.client().await;
        assert_eq!(client.call(CALL).await.json()["result"], expected);
        assert!(rig.held(1).await.reason.contains("breakpoint 1"));
    }
    let rig = stopping_at(&["~q ~tool search; deadline=50ms; then=block"]).await;
    let said = rig.client().await.call(CALL).await.json();
    assert_eq!(said["error"]["message"], "no decision at a breakpoint in time");
}

#[tokio::test]
async fn hand_forwards_before_the_policy_of_a_breakpoint() {
    let rig = stopping_at(&["~q ~tool search; deadline=300s; then=block"]).await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    let end = held.deadline.expect("a screen can count down to it");
    assert_eq!((end.after, end.sends), (300_000_000, false));
    rig.settle(held.ticket, Decision::Forward);
    assert_eq!(client.response().await.body, REPLY);
}

#[tokio::test]
async fn breakpoint_leaves_alone_what_a_session_lives_on() {
    let rig = stopping_at(&["~q"]).await;
    let mut client = rig.client().await;
    assert_eq!(client.call(INITIALIZE).await.status(), "200");
    assert_eq!(client.call(request(3, "ping")).await.status(), "200");
    client.post(CALL).await;
    rig.settle(rig.held(1).await.ticket, Decision::Forward);
    client.response().await;
    for words in ["~q; handshake", "~q ~m initialize"] {
        let rig = stopping_at(&[words]).await;
        let mut client = rig.client().await;
        client.post(INITIALIZE).await;
        rig.settle(rig.held(1).await.ticket, Decision::Forward);
        client.response().await;
    }
}

#[tokio::test]
async fn breakpoints_of_a_screen_are_kept_in_their_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("points.toml");
    fs::write(&file, "[[breakpoint]]\nwhen = \"~tool other\"\n").unwrap();
    let url = Server::answering(|_| REPLY.to_owned()).await;
    let breakpoints = BreakpointSettings { points: Vec::new(), file: Some(file.clone()) };
    let rig = Rig::start(Settings { breakpoints, ..settings(&url) }).await;
    let set = |count: usize| {
        rig.event(format!("{count} breakpoints"), move |event| match event {
            Event::Figures(figures) => (figures.breakpoints.len() == count).then(|| figures.breakpoints.clone()),
            _ => None,
        })
    };
    rig.command_now(Command::Breakpoints(BreakpointCommand::Add(of_words("~q ~tool search; once").unwrap())));
    let known = set(2).await;
    assert_eq!(known.iter().map(|it| it.point.when.as_str()).collect::<Vec<_>>(), ["~tool other", "~q ~tool search"]);
    let mut client = rig.client().await;
    client.post(CALL).await;
    rig.settle(rig.held(1).await.ticket, Decision::Forward);
    client.response().await;
    rig.command_now(Command::Breakpoints(BreakpointCommand::Add(of_words("~tol").unwrap())));
    rig.line(Level::Warn, "the breakpoints stay as they were: unknown operator `~tol`").await;
    rig.command_now(Command::Breakpoints(BreakpointCommand::Remove { id: 1 }));
    rig.until("one breakpoint after two", |log| {
        let lengths = log.iter().filter_map(|event| match event {
            Event::Figures(figures) => Some(figures.breakpoints.len()),
            _ => None,
        });
        let after_two: Vec<_> = lengths.skip_while(|length| *length < 2).collect();
        after_two.contains(&1).then_some(())
    })
    .await;
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains("other") && kept.contains("~q ~tool search") && kept.contains("once = true"), "{kept}");
}
