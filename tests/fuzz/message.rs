//! One message, as it stands on the wire.

use serde_json::value::RawValue;
use tapline::message::{Id, Kind, Message};

use crate::engine::fuzz;

#[test]
fn message_is_read_and_edited_in_place() {
    fuzz("message", |input| {
        let message = Message::new(input.to_vec());
        assert_eq!(message.raw(), input, "looking changes no byte");
        let _ = (
            message.name(),
            message.is_failed_result(),
            message.member("params"),
            message.at(&["params", "_meta", "a"]),
        );
        let value = message.value();
        match message.kind() {
            Kind::Batch => message.elements().iter().for_each(|it| assert_ne!(it.kind(), Kind::Batch, "it ends")),
            _ => assert!(message.elements().is_empty()),
        }
        // A broken reply may still end the wait for it.
        if message.asks() {
            assert!(is_json(input), "who asks is JSON");
        }
        let id = Id::from_token("\"another\"");
        if let Some(renumbered) = message.with_id(&id) {
            let is_renumbered = renumbered.member("id") == Some(id.token()) || renumbered.replied_id() == Some(&id);
            assert!(is_renumbered, "{renumbered:?}");
            if value.is_some() {
                assert!(renumbered.value().is_some(), "a message that was JSON still is");
            }
        }
        let error = Message::error_reply(message.id(), -31_000, &String::from_utf8_lossy(input), None);
        assert!(is_json(error.raw()), "errors of ours are JSON whatever they cite");
    });
}

/// Whether it is JSON by its grammar, which takes half a surrogate for a character.
fn is_json(input: &[u8]) -> bool {
    let input = input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input);
    serde_json::from_slice::<&RawValue>(input).is_ok()
}
