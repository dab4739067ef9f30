use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::message::Message;

fn section(text: &str) -> Section {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn auth(text: &str) -> Auth {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Auth::new(section(text), Clock::default()).expect("it can be used").expect("it is not empty")
}

fn hash(token: &str) -> String {
    ring::digest::digest(&ring::digest::SHA256, token.as_bytes())
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect()
}

fn token(name: &str, token: &str, more: &str) -> String {
    format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{}\"\n{more}\n", hash(token))
}

async fn identify(auth: &Auth, headers: &[(&'static str, &str)]) -> (Result<String, String>, Vec<String>) {
    let value = |value: &str| HeaderValue::from_str(value).expect("it is a value");
    let mut map: HeaderMap = headers.iter().map(|(name, it)| (HeaderName::from_static(name), value(it))).collect();
    let found = auth.identify(&mut map).await;
    let left = map.keys().map(ToString::to_string).collect();
    (found.map(|it| it.name.to_string()).map_err(|it| it.to_string()), left)
}

#[tokio::test]
async fn identify_takes_the_token_out() {
    let auth = auth(&[token("ann", "first", ""), token("bob", "second", ""), token("ann", "next", "")].concat());
    for (value, expected) in [
        ("Bearer first", Ok("token:ann")),
        ("bearer  second ", Ok("token:bob")),
        ("Bearer next", Ok("token:ann")),
        ("Bearer third", Err("unknown token")),
        ("Bearer ", Err("must be `Bearer`")),
        ("Bearer", Err("must be `Bearer`")),
        ("Bearer a.b.c", Err("unknown token")),
        ("first", Err("must be `Bearer`")),
        ("Basic first", Err("must be `Bearer`")),
    ] {
        let (found, left) = identify(&auth, &[("authorization", value), ("accept", "x")]).await;
        match (found, expected) {
            (Ok(name), Ok(expected)) => assert_eq!(name, expected, "{value}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{value}: {error}"),
            (found, _) => panic!("{value}: {found:?}"),
        }
        assert_eq!(left, ["accept"]);
    }
    let (found, left) = identify(&auth, &[("authorization", "Bearer first"), ("authorization", "Bearer x")]).await;
    assert!(found.is_err_and(|error| error.contains("more than one")));
    assert_eq!(left, Vec::<String>::new());
    assert!(identify(&auth, &[]).await.0.is_err_and(|error| error.contains("`authorization`")));
}

#[tokio::test]
async fn identify_reads_another_header() {
    let auth = auth(&format!("header = \"X-Api-Key\"\n{}", token("ann", "first", "")));
    let (found, left) = identify(&auth, &[("x-api-key", "first"), ("authorization", "Bearer upstream")]).await;
    assert_eq!((found, left), (Ok("token:ann".to_owned()), Vec::new()));
    assert!(identify(&auth, &[("authorization", "Bearer first")]).await.0.is_err_and(|it| it.contains("`x-api-key`")));
}

fn message(text: &str) -> Message {
    Message::new(text.to_owned())
}

#[tokio::test]
async fn permit_needs_the_configured_scopes() {
    let auth = auth(&format!(
        "{}{}[[require]]\nmethod = \"tools/*\"\nscopes = \"use\"\n[[require]]\ntool = \"drop_*\"\nscopes = [\"admin\", \"write\"]\n",
        token("all", "all", ""),
        token("user", "user", "scopes = [\"use\"]"),
    ));
    let call = |tool: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let user = known(&auth.tokens[1]);
    for (text, lacking) in [
        (ping.to_owned(), None),
        (call("look"), None),
        (call("drop_table"), Some("`tools/call` of `drop_table` needs the scope `use admin write`")),
        // Not a tool.
        (r#"{"id":1,"method":"prompts/get","params":{"name":"drop_table"}}"#.to_owned(), None),
        (r#"{"id":1,"result":{}}"#.to_owned(), None),
        (format!("[{ping},{}]", call("look")), None),
        (format!("[{ping},{}]", call("drop_table")), Some("`drop_table` needs")),
        (format!("[[{}]]", call("drop_table")), Some("cannot be read for certain")),
        (r#"{"id":1,"method":"ping","method":"tools/call"}"#.to_owned(), Some("cannot be read for certain")),
        ("{'method':'tools/call'}".to_owned(), Some("cannot be read for certain")),
        (r#"{"id":1,"method":"ping","Method":"tools/call"}"#.to_owned(), Some("cannot be read for certain")),
        (r#"{"id":1,"result":{},"METHOD":"tools/call"}"#.to_owned(), Some("cannot be read for certain")),
        (r#"{"id":1,"method":["tools/call"]}"#.to_owned(), Some("cannot be read for certain")),
        (call("look").replace("\"name\"", "\"n\\u0061me\""), None),
        (call("look").replace("}}", ",\"name\":\"drop_table\"}}"), Some("cannot be read for certain")),
        (call("look").replace("}}", ",\"NAME\":\"drop_table\"}}"), Some("cannot be read for certain")),
        (
            call("look").replace("}}", "},\"param\u{17f}\":{\"name\":\"drop_table\"}}"),
            Some("cannot be read for certain"),
        ),
        (r#"{"id":1,"method":"tools/call","params":["drop_table"]}"#.to_owned(), Some("cannot be read for certain")),
        (
            r#"{"id":1,"method":"tools/call","params":{"name":["drop_table"]}}"#.to_owned(),
            Some("cannot be read for certain"),
        ),
        (r#"{"id":1,"method":"ping","params":{"Name":"x","name":"y"}}"#.to_owned(), None),
        (call("drop_\\ud800"), Some("cannot be read for certain")),
        (call("drop_table\\u0000"), Some("cannot be read for certain")),
        (call(" drop_table"), Some("cannot be read for certain")),
        (call("drop_table").replace("s/call", "s/call\\u0000"), Some("cannot be read for certain")),
        (call("drop_table").replace("tools/", "tools\\/"), Some("`drop_table` needs")),
    ] {
        match (auth.permit(&user, &message(&text)), lacking) {
            (Ok(()), None) => {}
            (Err(denied), Some(lacking)) => assert!(denied.to_string().contains(lacking), "{text}: {denied}"),
            (permitted, _) => panic!("{text}: {permitted:?}"),
        }
    }
    let all = known(&auth.tokens[0]);
    assert!(auth.permit(&all, &message(&call("drop_table"))).is_ok());
}

/// What a server may read in a message: `first` of members alike or the last, in any spelling where `lenient`.
fn reading(message: &Value, text: &str, first: bool, lenient: bool) -> Option<(String, Option<String>)> {
    let alike = |key: &str, name: &str| if lenient { key.eq_ignore_ascii_case(name) } else { key == name };
    let find = |text: &str, name: &str| -> Option<String> {
        let members = crate::message::read_members(text.as_bytes())?;
        let mut values = members.iter().filter(|(key, _)| alike(key, name)).map(|(_, value)| (*value).to_owned());
        if first { values.next() } else { values.next_back() }
    };
    let as_text = |raw: String| serde_json::from_str::<String>(&raw).ok();
    assert!(message.is_object());
    let method = as_text(find(text, "method")?)?;
    let tool = find(text, "params").and_then(|params| find(&params, "name")).and_then(as_text);
    Some((method, tool))
}

proptest! {
    /// However a server reads a message that is permitted, it reads nothing that is not.
    #[test]
    fn permit_decides_on_whatever_a_server_reads(
        members in prop::collection::vec(
            (
                prop::sample::select(vec!["id", "method", "Method", "m\\u0065thod", "params", "PARAMS", "result", "x"]),
                prop::sample::select(vec![
                    "1", "\"ping\"", "\"tools/call\"", "\"tools\\/call\"", "{\"name\":\"drop_x\"}", "{\"name\":\"look\"}",
                    "{\"name\":\"look\",\"name\":\"drop_x\"}", "{\"Name\":\"drop_x\",\"name\":\"look\"}", "[]", "null",
                    "{\"name\":\"dr\\u006fp_x\"}",
                ]),
            ),
            1..6,
        ),
    ) {
        let text = format!("{{{}}}", members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect::<Vec<_>>().join(","));
        let auth = auth(&format!("{}[[require]]\ntool = \"drop_*\"\nscopes = \"admin\"\n", token("user", "user", "scopes = []")));
        let user = known(&auth.tokens[0]);
        if auth.permit(&user, &message(&text)).is_ok() {
            let value = serde_json::from_str(&text).expect("it is JSON");
            for (first, lenient) in [(true, true), (true, false), (false, true), (false, false)] {
                if let Some((method, tool)) = reading(&value, &text, first, lenient) {
                    let drops = method == "tools/call" && tool.is_some_and(|tool| tool.starts_with("drop_"));
                    prop_assert!(!drops, "{text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn challenge_points_to_the_metadata() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("keys.json");
    std::fs::write(&keys, r#"{"keys":[{"kty":"oct","k":"AQAB"}]}"#).expect("room for a file");
    let jwt = format!(
        "[jwt]\nissuer = \"https://as.example\"\naudience = \"a\"\nscopes = [\"mcp\"]\njwks = '{}'\n[[require]]\ntool = \"x\"\nscopes = [\"mcp\", \"x\"]\n",
        keys.display()
    );
    let document = |auth: &Auth, path: &str| -> Value {
        serde_json::from_str(&auth.metadata("localhost:7070", path)).expect("it is JSON")
    };
    let challenge = |auth: &Auth, denied: &Denied| {
        let challenge = auth.challenge(denied, "localhost:7070", "/mcp").expect("there is one");
        challenge.to_str().expect("it is text").to_owned()
    };
    let by_host = auth(&jwt);
    assert_eq!(
        document(&by_host, "/mcp"),
        json!({
            "resource": "http://localhost:7070/mcp",
            "resource_name": "tapline",
            "authorization_servers": ["https://as.example"],
            "scopes_supported": ["mcp", "x"],
            "bearer_methods_supported": ["header"],
        })
    );
    assert_eq!(document(&by_host, "")["resource"], "http://localhost:7070");
    assert_eq!(
        challenge(&by_host, &Denied::Missing(AUTHORIZATION)),
        r#"Bearer realm="tapline", resource_metadata="http://localhost:7070/.well-known/oauth-protected-resource/mcp", scope="mcp""#
    );
    assert_eq!(
        challenge(&by_host, &Denied::Invalid("it \"has\" expired\u{7f}")),
        r#"Bearer realm="tapline", resource_metadata="http://localhost:7070/.well-known/oauth-protected-resource/mcp", error="invalid_token", error_description="the token is refused: it 'has' expired", scope="mcp""#
    );
    assert!(
        challenge(&by_host, &Denied::lacks_scope("`ping`", by_host.scopes.iter().map(ScopeName::as_str))).ends_with(
            r#"error="insufficient_scope", error_description="`ping` needs the scope `mcp x`", scope="mcp x""#
        )
    );

    let servers = "authorization_servers = [\"https://other.example/\"]\n";
    let named = auth(&format!("resource = \"https://gw.example/team/mcp\"\n{servers}{jwt}"));
    assert_eq!(document(&named, "/sse")["resource"], "https://gw.example/team/mcp");
    assert_eq!(document(&named, "/sse")["authorization_servers"], json!(["https://other.example"]));
    assert!(
        challenge(&named, &Denied::Missing(AUTHORIZATION))
            .contains(r#"resource_metadata="https://gw.example/.well-known/oauth-protected-resource/team/mcp""#)
    );
    let origin = auth(&format!("resource = \"https://gw.example\"\n{jwt}"));
    assert_eq!(document(&origin, "/one/mcp")["resource"], "https://gw.example/one/mcp");
    assert!(
        challenge(&origin, &Denied::Missing(AUTHORIZATION))
            .contains(r#"resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp""#)
    );

    for (path, described) in [
        ("/.well-known/oauth-protected-resource", Some("")),
        ("/.well-known/oauth-protected-resource/mcp", Some("/mcp")),
        ("/.well-known/oauth-protected-resources", None),
        ("/mcp", None),
    ] {
        assert_eq!(Auth::described(path), described, "{path}");
    }
}

#[test]
fn section_mistakes_have_a_line() {
    let token = |rest: &str| format!("[[tokens]]\nname = \"ann\"\n{rest}\n");
    let jwt =
        |rest: &str| format!("[jwt]\nissuer = \"i\"\naudience = \"a\"\njwks = \"http://localhost/keys\"\n{rest}\n");
    for (text, line, why) in [
        ("token = []".to_owned(), 1, "unknown field `token`, expected one of `tokens`"),
        (token("sha256 = \"abc\""), 3, "64 hex digits"),
        (token("env = \"TAPLINE_NO_SUCH_VARIABLE\""), 3, "`TAPLINE_NO_SUCH_VARIABLE` is not set"),
        (token(""), 1, "needs `sha256`"),
        (token(&format!("sha256 = \"{}\"\nenv = \"PATH\"", hash("x"))), 1, "both `sha256` and `env`"),
        (token("hash = \"x\""), 3, "unknown field `hash`"),
        (token(&format!("sha256 = \"{}\"\nscopes = [\"a b\"]", hash("x"))), 4, "`a b` is not a scope"),
        ("[[tokens]]\nname = \" \"".to_owned(), 2, "must not be empty"),
        ("header = \"x y\"".to_owned(), 1, "not the name of a header"),
        ("resource = \"mcp\"".to_owned(), 1, "not a URL"),
        ("resource = \"https://a/#x\"".to_owned(), 1, "fragment"),
        ("authorization_servers = [\"ftp://a\"]".to_owned(), 1, "only http and https"),
        ("[jwt]\nissuer = \"i\"\naudience = \"a\"\n".to_owned(), 1, "missing field `jwks`"),
        ("[jwt]\nissuer = \"i\"\naudience = []\njwks = \"http://a\"".to_owned(), 3, "not empty"),
        (
            "[jwt]\nissuer = \"i\"\naudience = \"a\"\njwks = \"no/such/file\"".to_owned(),
            4,
            "`no/such/file` cannot be read",
        ),
        ("[jwt]\nissuer = \"i\"\naudience = \"a\"\njwks = \"Cargo.toml\"".to_owned(), 4, "not a JSON Web Key Set"),
        (jwt("algorithms = [\"RS256\", \"none\"]"), 5, "unknown variant `none`, expected one of `HS256`"),
        (jwt("algorithms = []"), 5, "not empty"),
        (jwt("leeway = \"2h\""), 5, "more than an hour"),
        (jwt("leeway = \"2 ages\""), 5, "invalid duration"),
        (jwt("max_age = \"0s\""), 5, "`10m`"),
        (jwt("max-age = \"10m\""), 5, "unknown field `max-age`"),
        ("[[require]]\nscopes = [\"a\"]".to_owned(), 1, "`method` or `tool`"),
        ("[[require]]\nmethod = \"\"\nscopes = [\"a\"]".to_owned(), 2, "must not be empty"),
        ("[[require]]\nmethod = \"a\"\nscopes = []".to_owned(), 3, "not empty"),
    ] {
        let error = toml::from_str::<Section>(&text).err().unwrap_or_else(|| panic!("{text} was taken"));
        let start = error.span().expect("it is somewhere").start;
        assert!(error.message().contains(why), "{text}: {error}");
        assert_eq!(text[..start].matches('\n').count() + 1, line, "{text}: {error}");
    }
}

#[test]
fn section_is_off_where_empty() {
    assert!(Auth::new(Section::default(), Clock::default()).is_ok_and(|auth| auth.is_none()));
    let half = section("header = \"x-api-key\"");
    assert!(
        Auth::new(half, Clock::default()).err().is_some_and(|error| error.to_string().contains("admits no client"))
    );
}
