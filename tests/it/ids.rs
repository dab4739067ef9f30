//! Ids are values: however a server spells what it was told, its client gets it, in the bytes that the server wrote.

use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::event::Level;

use crate::bridges::Front;
use crate::pool::modern;
use crate::support::Rig;

/// A reply to `initialize`, and to everything else that has an id these bytes, with the escapes of `printf`.
fn server(reply: &str) -> String {
    format!(
        r#"while read -r line; do case "$line" in
            *'"initialize"'*) echo '{{"jsonrpc":"2.0","id":0,"result":{{}}}}' ;;
            *'"id":'*) printf '{}\n' ;;
        esac; done"#,
        reply.replace('%', "%%")
    )
}

/// For `printf` as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}

const SPELLINGS: [(&str, &str); 8] = [
    ("5", "5.0"),
    ("5", "5e0"),
    ("5", r#""5""#),
    (r#""5""#, "5"),
    (r#""req/5""#, r#""req\/5""#),
    (r#""req+1""#, r#""req\u002B1""#),
    (r#""é5""#, r#""\u00e95""#),
    ("9007199254740993", "9007199254740993.0"),
];

#[tokio::test]
async fn reply_is_matched_by_the_value_of_its_id() {
    for (asked, answered) in SPELLINGS {
        let reply = format!(r#"{{"jsonrpc":"2.0","id":{answered},"result":{{}}}}"#);
        let rig = Rig::script(&server(&escaped(&reply))).await;
        let mut client = rig.client().await;
        client.initialize().await;
        let response = client.call(format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"ping"}}"#)).await;
        assert_eq!(response.text(), reply, "{asked}");
        let shown = rig.message(ToClient, |it| *it.message.raw() == reply).await;
        assert_eq!(shown.reply_to.as_ref().unwrap().subject.method.as_ref(), "ping", "{asked} {answered}");
        // A child that clients share takes the same names.
        let mut modern_client = rig.client().await;
        let request = modern(1, "ping").replace(r#""id":1"#, &format!(r#""id":{asked}"#));
        assert_eq!(modern_client.call(request).await.text(), reply, "{asked}");
        assert_eq!(rig.complaints(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn reply_that_is_not_quite_json_reaches_its_client() {
    for (written, reply) in [
        (r#"{"jsonrpc":"2.0","id":5,"result":{"n":NaN}}"#, &br#"{"jsonrpc":"2.0","id":5,"result":{"n":NaN}}"#[..]),
        (r#"{"result":{"t":"\377"},"id":5}"#, b"{\"result\":{\"t\":\"\xff\"},\"id\":5}"),
    ] {
        let rig = Rig::script(&server(written)).await;
        let mut client = rig.client().await;
        client.initialize().await;
        let response = client.call(r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#).await;
        assert_eq!(response.body, reply);
        let shown = rig.message(ToClient, |it| *it.message.raw() == reply).await;
        assert!(shown.reply_to.is_some() && shown.message.head().flaw.is_some());
        let mut pipe = Front::of("pipe", &rig).await;
        pipe.say(br#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#).await;
        assert_eq!(pipe.hear().await, reply);
    }
}

#[tokio::test]
async fn progress_and_subscriptions_are_matched_by_value() {
    let meta = r#""_meta":{"io.modelcontextprotocol/subscriptionId":"s\/1"}"#;
    let said = [
        r#"{"method":"notifications/progress","params":{"progressToken":5.0,"progress":1}}"#.to_owned(),
        format!(r#"{{"method":"notifications/tools/list_changed","params":{{{meta}}}}}"#),
        format!(r#"{{"id":"s\u002f1","result":{{{meta}}}}}"#),
    ];
    let lines = said.each_ref().map(|line| escaped(line)).join("\\n");
    let rig = Rig::script(&server(&lines)).await;
    let mut client = rig.client().await;
    let request = modern(1, "subscriptions/listen").replace(r#""id":1"#, r#""id":"s/1""#);
    let events = said.each_ref().map(|message| format!("event: message\ndata: {message}\n\n")).concat();
    assert_eq!(client.call(request).await.text(), events);
}

/// Who has taken a call back is owed no answer when the session ends, however the call was named.
#[tokio::test]
async fn cancellation_is_matched_by_value() {
    let silent = r#"while read -r line; do case "$line" in
        *'"initialize"'*) echo '{"jsonrpc":"2.0","id":0,"result":{}}' ;;
    esac; done"#;
    for (asked, named) in SPELLINGS {
        let rig = Rig::script(silent).await;
        let mut client = rig.client().await;
        client.initialize().await;
        let mut waiting = client.again(rig.address()).await;
        waiting.post(format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"wait"}}"#)).await;
        rig.message(ToServer, |it| it.method() == Some("wait")).await;
        let params = format!(r#"{{"requestId":{named}}}"#);
        let taken_back = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        assert_eq!(client.call(taken_back).await.status(), "202");
        client.request("DELETE /mcp", "", b"").await;
        let response = waiting.response().await;
        assert_eq!((response.status(), response.text()), ("200", ""), "{asked} {named}");
    }
}

#[tokio::test]
async fn orphan_is_told_with_the_call_that_waits() {
    let rig = Rig::script(&server(r#"{"jsonrpc":"2.0","id":"other","result":{}}"#)).await;
    let mut client = rig.client().await;
    client.initialize().await;
    client.post(r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#).await;
    let line = rig.line(Level::Warn, "a reply with the id `\"other\"` answers no open call").await;
    assert!(line.text.contains("the only open call, #3 `ping` with the id `5`, still waits"), "{}", line.text);
    let orphan = rig.message(ToClient, |it| it.message.id().is_some_and(|id| id.display() == "other")).await;
    assert_eq!((line.seq, line.session, orphan.reply_to.is_some()), (Some(orphan.seq), Some(orphan.session), false));
}
