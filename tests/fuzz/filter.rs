//! The filter language.

use tapline::envelope::{Direction, Envelope, Seq, SessionId, Via};
use tapline::filter::Filter;
use tapline::message::Message;

use crate::engine::fuzz;

#[test]
fn filter_is_parsed_or_refused() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"b":[1,null,"c"]}}}"#;
    let envelope = |raw: &str| {
        Envelope::forwarded(Seq(1), SessionId::random(), Direction::ToServer, Via::Http, Message::new(raw.to_owned()))
    };
    let envelopes = [envelope(call), envelope(r#"{"id":1,"error":{"code":1}}"#), envelope("not JSON")];
    fuzz("filter", |input| {
        let expression = String::from_utf8_lossy(input);
        match Filter::parse(&expression) {
            Ok(filter) => {
                let again = Filter::parse(filter.expression()).expect("what it says of itself can be parsed");
                for envelope in &envelopes {
                    assert_eq!(filter.matches(envelope), again.matches(envelope));
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
