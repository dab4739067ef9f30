//! Who may come in: real requests, real signatures, and keys from a server that the test plays.

use std::path::Path;
use std::time::Duration;

use rmcp::ServiceExt as _;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tapline::app::{Core, Settings};
use tapline::clock::Clock;
use tapline::event::{Event, Level, OnQuit};
use tapline::proxy::front::routes::MountSpec;
use tapline::upstream::http::HttpUpstream;
use tapline::upstream::target::Target;

use crate::support::issuer::{AUDIENCE, ISSUER, Issuer, RSA_N, encode, jwks, now};
use crate::support::{Client, INITIALIZE, LegacySseClient, Response, Rig, Server, settings, soon};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A token that is known beforehand, by its hash only.
pub(crate) fn known(name: &str, token: &str, more: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{hash}\"\n{more}\n")
}

/// Tokens of the issuer are taken, with these keys.
fn signed(jwks: &str, more: &str) -> String {
    format!("[jwt]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\njwks = '{jwks}'\n{more}\n")
}

fn guarded(settings: Settings, section: &str) -> Settings {
    let auth = toml::from_str(section).unwrap_or_else(|error| panic!("{section}: {error}"));
    Settings { auth, ..settings }
}

async fn rig(section: &str) -> (Rig, Server) {
    let server = Server::start().await;
    (Rig::start(guarded(settings(&server.url()), section)).await, server)
}

/// A set of keys in a file.
fn file(dir: &Path, keys: &str) -> String {
    let path = dir.join("keys.json");
    std::fs::write(&path, keys).unwrap();
    path.display().to_string()
}

async fn ask(client: &mut Client, token: &str, body: &str) {
    client.headers = format!("authorization: Bearer {token}\r\n");
    client.post(body).await;
}

/// A request that reaches the server, which sees no token.
async fn passes(client: &mut Client, server: &mut Server, token: &str) {
    ask(client, token, PING).await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.get("authorization"), None);
    exchange.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
}

/// A request that does not, and why.
async fn refused(client: &mut Client, server: &mut Server, token: &str) -> (Response, String) {
    ask(client, token, PING).await;
    let response = client.response().await;
    assert!(server.is_idle());
    let error = response.json()["error"].clone();
    assert!(error["code"] == -31010, "{response:?}");
    let text = error["message"].as_str().unwrap().to_owned();
    assert!(token.is_empty() || !format!("{response:?}").contains(token), "{response:?}");
    (response, text)
}

#[tokio::test]
async fn missing_token_is_401_on_every_path() {
    let (rig, mut server) = rig(&[known("ann", "secret-one", ""), known("bob", "secret-two", "")].concat()).await;
    let mut client = rig.client().await;
    let address = rig.address();
    let metadata = format!("resource_metadata=\"http://{address}/.well-known/oauth-protected-resource");
    for start in [
        "POST /mcp",
        "GET /mcp",
        "DELETE /mcp",
        "GET /sse",
        "POST /message?sessionId=1",
        "GET /.well-known/oauth-authorization-server",
        "POST /token",
        "OPTIONS /mcp",
        "GET /.well-known/oauth-protected-resources",
    ] {
        client.request(start, "content-length: 0\r\n", b"").await;
        let response = client.response().await;
        let challenge = response.head.get("www-authenticate").unwrap();
        assert_eq!(response.status(), "401", "{start}");
        let path = start.split([' ', '?']).nth(1).unwrap();
        assert_eq!(challenge, format!("Bearer realm=\"tapline\", {metadata}{path}\""), "{start}");
        assert!(response.text().contains("tapline: a token is needed"), "{}", response.text());
    }
    for (value, status, error) in [
        ("Bearer secret-three", "401", "error=\"invalid_token\""),
        ("Bearer secret-on", "401", "error=\"invalid_token\""),
        ("Basic secret-one", "401", "resource_metadata="),
        ("Bearer", "401", "resource_metadata="),
        ("Bearer ", "401", "resource_metadata="),
        ("Bearer secret-one\r\nauthorization: Bearer secret-two", "400", "error=\"invalid_request\""),
    ] {
        client.headers = format!("authorization: {value}\r\n");
        let response = client.call(PING).await;
        assert_eq!(response.status(), status, "{value}");
        assert!(response.head.get("www-authenticate").unwrap().contains(error), "{response:?}");
    }
    assert!(server.is_idle());
    for token in ["secret-one", "secret-two"] {
        passes(&mut client, &mut server, token).await;
    }
    // A page may read the challenge, to learn where to go.
    client.headers = "origin: http://localhost:5173\r\n".to_owned();
    let head = client.call(PING).await.head;
    let seen = ["access-control-allow-origin", "access-control-expose-headers"].map(|name| head.get(name));
    assert_eq!(seen[0], Some("http://localhost:5173"));
    assert!(seen[1].is_some_and(|exposed| exposed.contains("WWW-Authenticate")), "{seen:?}");
    client.headers = "authorization: Bearer secret-one\r\n".to_owned();
    // Everything else at the server's origin as well, and without the token.
    client.request("GET /elsewhere", "", b"").await;
    let exchange = server.next().await;
    assert_eq!((exchange.head.second_word(), exchange.head.get("authorization")), ("/elsewhere", None));
    exchange.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
    rig.line(Level::Warn, "refused a request: the token is refused: unknown token").await;
    assert!(!rig.complaints().concat().contains("secret-"), "{:?}", rig.complaints());
}

#[tokio::test]
async fn resource_metadata_is_public() {
    let dir = tempfile::tempdir().unwrap();
    let keys = file(dir.path(), &jwks([&Issuer::new("EdDSA", "a")]));
    let (rig, mut server) = rig(&signed(&keys, "scopes = [\"mcp\"]")).await;
    let mut client = rig.client().await;
    let address = rig.address();
    for (path, resource) in [("/mcp", "/mcp"), ("", ""), ("/one/mcp", "/one/mcp")] {
        client.request(&format!("GET /.well-known/oauth-protected-resource{path}"), "", b"").await;
        let response = client.response().await;
        assert_eq!((response.status(), response.head.get("content-type")), ("200", Some("application/json")));
        let expected = json!({
            "resource": format!("http://{address}{resource}"),
            "resource_name": "tapline",
            "authorization_servers": [ISSUER],
            "scopes_supported": ["mcp"],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(response.json(), expected);
        assert_eq!(response.head.get("access-control-allow-origin"), Some("*"));
    }
    let well_known = "/.well-known/oauth-protected-resource/mcp";
    client.request(&format!("POST {well_known}"), "content-length: 0\r\n", b"").await;
    assert_eq!(client.response().await.status(), "405");
    client.request(&format!("OPTIONS {well_known}"), "", b"").await;
    assert_eq!(client.response().await.status(), "204");
    assert!(server.is_idle());
    // A browser asks for leave without a token, and the server is not asked with the operator's.
    let preflight = "origin: http://localhost:5173\r\naccess-control-request-method: POST\r\naccess-control-request-headers: \
                     authorization, mcp-method\r\n";
    for path in ["/mcp", "/elsewhere"] {
        client.request(&format!("OPTIONS {path}"), preflight, b"").await;
        let head = client.response().await.head;
        assert_eq!(head.second_word(), "204");
        assert_eq!(head.get("access-control-allow-origin"), Some("http://localhost:5173"));
        assert_eq!(head.get("access-control-allow-headers"), Some("authorization, mcp-method"));
        assert!(head.get("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")), "{head:?}");
        assert!(head.all("vary").contains(&"Origin"), "{head:?}");
    }
    assert!(server.is_idle());
}

#[tokio::test]
async fn options_is_answered_by_tapline_where_a_token_is_needed() {
    let require = "[[require]]\ntool = \"*\"\nscopes = [\"write\"]\n";
    for rules in ["", require] {
        let (rig, mut server) = rig(&[known("ann", "secret-one", ""), rules.to_owned()].concat()).await;
        let mut client = rig.client().await;
        for path in ["/mcp", "/sse", "/elsewhere", "/.well-known/oauth-authorization-server"] {
            client.headers = "authorization: Bearer secret-one\r\n".to_owned();
            client.request(&format!("OPTIONS {path}"), "", b"").await;
            let head = client.response().await.head;
            assert_eq!(head.second_word(), "204", "{path}");
            assert!(head.get("allow").is_some_and(|allow| allow.contains("POST")), "{head:?}");
            client.headers += "origin: http://localhost:5173\r\naccess-control-request-method: POST\r\n";
            client.request(&format!("OPTIONS {path}"), "", b"").await;
            let head = client.response().await.head;
            assert_eq!(head.second_word(), "204", "{path}");
            assert_eq!(head.get("access-control-allow-origin"), Some("http://localhost:5173"));
            client.headers = "authorization: Bearer unknown\r\n".to_owned();
            client.request(&format!("OPTIONS {path}"), "", b"").await;
            assert_eq!(client.response().await.status(), "401", "{path}");
        }
        assert!(server.is_idle(), "the server is not asked with the operator's credentials");
    }
}

#[tokio::test]
async fn jwt_of_every_algorithm_passes_where_allowed() {
    let algorithms =
        ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let dir = tempfile::tempdir().unwrap();
    let issuers = algorithms.map(|algorithm| Issuer::new(algorithm, algorithm));
    let keys = file(dir.path(), &jwks(&issuers));
    let list = algorithms.map(|name| format!("\"{name}\"")).join(", ");
    let (all, mut server) = rig(&signed(&keys, &format!("algorithms = [{list}]"))).await;
    let mut client = all.client().await;
    for (algorithm, issuer) in algorithms.iter().zip(&issuers) {
        passes(&mut client, &mut server, &issuer.token(&json!({}))).await;
        // One that does not say by which key it is signed.
        passes(&mut client, &mut server, &issuer.signed(&json!({"alg": algorithm}), &json!({}))).await;
        // The signature of another message.
        let (token, other) = (issuer.token(&json!({})), issuer.token(&json!({"sub": "eve"})));
        let forged = format!("{}.{}", other.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
        let (response, why) = refused(&mut client, &mut server, &forged).await;
        assert_eq!((response.status(), &*why), ("401", "tapline: the token is refused: no known key has signed it"));
    }
    let (usual, mut server) = rig(&signed(&keys, "")).await;
    let mut client = usual.client().await;
    for (algorithm, issuer) in algorithms.iter().zip(&issuers) {
        let token = issuer.token(&json!({}));
        if ["RS256", "ES256", "EdDSA"].contains(algorithm) {
            passes(&mut client, &mut server, &token).await;
        } else {
            let (_, why) = refused(&mut client, &mut server, &token).await;
            assert!(why.ends_with("not signed by an algorithm that is taken here"), "{algorithm}: {why}");
        }
    }
}

#[tokio::test]
async fn jwt_refusals_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let (issuer, eve) = (Issuer::new("ES256", "a"), Issuer::new("ES256", "a"));
    let rsa = Issuer::new("RS256", "r");
    let keys = jwks([&issuer, &rsa]);
    let path = file(dir.path(), &keys);
    // HS256 is allowed, which makes the confusion of keys possible at all.
    let (rig, mut server) =
        rig(&signed(&path, "algorithms = [\"ES256\", \"RS256\", \"HS256\"]\nleeway = \"5s\"")).await;
    let mut client = rig.client().await;
    let hmac = |secret: &[u8]| {
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "exp": now() + 60}).to_string();
        let message = format!("{}.{}", encode(json!({"alg": "HS256", "kid": "r"}).to_string()), encode(claims));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        format!("{message}.{}", encode(ring::hmac::sign(&key, message.as_bytes())))
    };
    let modulus = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(RSA_N).unwrap()
    };
    let unsigned = |alg: &str| {
        let token = issuer.signed(&json!({"alg": alg, "kid": "a"}), &json!({}));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    let header = |header: Value| issuer.signed(&header, &json!({}));
    let claims = |claims: Value| issuer.token(&claims);
    for (token, why) in [
        (claims(json!({"exp": now() - 10})), "it has expired"),
        (claims(json!({"exp": null})), "it does not say when it expires"),
        (claims(json!({"exp": "soon"})), "it does not say when it expires"),
        (claims(json!({"nbf": now() + 60})), "it is not valid yet"),
        (claims(json!({"nbf": "later"})), "its times are no times"),
        (claims(json!({"iss": "https://evil.example"})), "it is from another issuer"),
        (claims(json!({"iss": null})), "it does not say who issued it"),
        (claims(json!({"iss": 7})), "it does not say who issued it"),
        (claims(json!({"aud": "https://other.example"})), "it is for another audience"),
        (claims(json!({"aud": ["https://other.example", "x"]})), "it is for another audience"),
        (claims(json!({"aud": []})), "it is for another audience"),
        (claims(json!({"aud": null})), "it does not say whom it is for"),
        (eve.token(&json!({})), "no known key has signed it"),
        (eve.signed(&json!({"alg": "ES256"}), &json!({})), "no known key has signed it"),
        (header(json!({"alg": "ES256", "kid": "unknown"})), "no known key has signed it"),
        (header(json!({"alg": "ES256", "kid": "r"})), "no known key has signed it"),
        (header(json!({"alg": "ES256", "kid": "a", "crit": ["b64"]})), "critical parameters"),
        (header(json!({"alg": "RS256", "kid": "r"})), "no known key has signed it"),
        (unsigned("none"), "not signed by an algorithm that is taken here"),
        (unsigned("None"), "not signed by an algorithm that is taken here"),
        (unsigned("ES256"), "no known key has signed it"),
        // The public key, in the forms in which others took it for the secret of an HMAC.
        (hmac(&modulus), "no known key has signed it"),
        (hmac(RSA_N.as_bytes()), "no known key has signed it"),
        (hmac(keys.as_bytes()), "no known key has signed it"),
        (hmac(b""), "no known key has signed it"),
        ("not.a.jwt".to_owned(), "neither known nor a signed JWT"),
        ("a.b".to_owned(), "neither known nor a signed JWT"),
        (format!("{}.x", claims(json!({}))), "neither known nor a signed JWT"),
        (format!("{}!", claims(json!({}))), "it cannot be read"),
    ] {
        let (response, text) = refused(&mut client, &mut server, &token).await;
        assert!(text.contains(why), "{why}: {text}");
        assert_eq!(response.status(), "401", "{why}");
        let challenge = response.head.get("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"invalid_token\", error_description=\"the token is refused: "),
            "{challenge}"
        );
        assert!(challenge.contains(why), "{challenge}");
        // Nor is any part of it said anywhere.
        let parts: Vec<&str> = token.split('.').filter(|part| part.len() > 8).collect();
        for part in parts {
            assert!(!rig.complaints().concat().contains(part), "{:?}", rig.complaints());
        }
    }
    for good in [
        claims(json!({"exp": now() - 2})),
        claims(json!({"exp": now() + 60, "nbf": now() + 2})),
        claims(json!({"aud": ["x", AUDIENCE]})),
        claims(json!({"sub": null})),
        rsa.token(&json!({})),
    ] {
        passes(&mut client, &mut server, &good).await;
    }
}

#[tokio::test]
async fn jwks_rotation_is_followed() {
    let mut keys = Server::start().await;
    let (old, new) = (Issuer::new("ES256", "old"), Issuer::new("EdDSA", "new"));
    let url = format!("http://{}/keys", keys.address());
    let clock = Clock::by_hand();
    let mut server = Server::start().await;
    let section = signed(&url, "max_age = \"10m\"");
    let rig = Rig::start(Settings { clock: clock.clone(), ..guarded(settings(&server.url()), &section) }).await;
    let mut client = rig.client().await;
    let (old_token, new_token) = (old.token(&json!({})), new.token(&json!({})));

    // The first token brings the first keys; further ones are checked by those.
    ask(&mut client, &old_token, PING).await;
    let fetch = keys.next().await;
    assert_eq!((fetch.head.start.as_str(), fetch.head.get("authorization")), ("GET /keys HTTP/1.1", None));
    fetch.json(jwks([&old])).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
    passes(&mut client, &mut server, &old_token).await;
    assert!(keys.is_idle());

    // A key that is not known is asked for, but not for everybody who makes one up.
    assert!(refused(&mut client, &mut server, &new_token).await.1.contains("no known key"));
    assert!(keys.is_idle());
    clock.advance(Duration::from_secs(30));
    ask(&mut client, &new_token, PING).await;
    let fetch = keys.next().await;
    // Nobody whose key is known waits for that; who has the same new key waits for the same fetch.
    passes(&mut rig.client().await, &mut server, &old_token).await;
    let mut other = rig.client().await;
    ask(&mut other, &new_token, PING).await;
    fetch.json(jwks([&old, &new])).await;
    for waiting in [&mut client, &mut other] {
        server.next().await.json("{}").await;
        assert_eq!(waiting.response().await.status(), "200");
    }
    assert!(keys.is_idle());

    // Half-way they are renewed behind everybody's back.
    clock.advance(Duration::from_secs(300));
    passes(&mut client, &mut server, &old_token).await;
    let fetch = keys.next().await;
    passes(&mut client, &mut server, &old_token).await;
    fetch.json(jwks([&old, &new])).await;

    // A key that was taken back is none once the set is too old.
    passes(&mut client, &mut server, &new_token).await;
    clock.advance(Duration::from_secs(601));
    ask(&mut client, &old_token, PING).await;
    keys.next().await.json(jwks([&new])).await;
    assert_eq!(client.response().await.status(), "401");
    assert!(server.is_idle());
    passes(&mut client, &mut server, &new_token).await;
}

#[tokio::test]
async fn jwks_unavailable_is_503() {
    let mut keys = Server::start().await;
    let issuer = Issuer::new("ES256", "a");
    let url = format!("http://me:keys-secret@{}/keys?code=keys-secret", keys.address());
    let clock = Clock::by_hand();
    let mut server = Server::start().await;
    let section = signed(&url, "");
    let rig = Rig::start(Settings { clock: clock.clone(), ..guarded(settings(&server.url()), &section) }).await;
    let mut client = rig.client().await;
    let token = issuer.token(&json!({}));
    for (answer, why) in [
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "HTTP 500 Internal Server Error"),
        ("HTTP/1.1 302 There\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n", "HTTP 302 Found"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<ht>", "not a JSON Web Key Set"),
    ] {
        ask(&mut client, &token, PING).await;
        keys.next().await.answer(answer).await;
        let response = client.response().await;
        assert_eq!((response.status(), response.head.get("www-authenticate")), ("503", None), "{response:?}");
        let error = &response.json()["error"];
        assert_eq!(error["code"], -31010);
        let text = "tapline: the token cannot be verified now: the keys of its issuer are unavailable";
        assert_eq!((&error["message"], response.head.get("retry-after")), (&json!(text), Some("5")));
        assert!(!format!("{response:?}").contains("keys-secret"), "{response:?}");
        // The operator knows where it was, and no more than that.
        let shown = format!("http://[redacted]@{}/keys?code=[redacted]", keys.address());
        rig.line(Level::Error, &format!("the keys at `{shown}` cannot be fetched: {why}")).await;
        // The next one does not ask again so soon.
        ask(&mut client, &token, PING).await;
        assert_eq!(client.response().await.status(), "503");
        assert!(keys.is_idle());
        clock.advance(Duration::from_secs(5));
    }
    ask(&mut client, &token, PING).await;
    keys.next().await.reset();
    assert_eq!(client.response().await.status(), "503");
    assert!(server.is_idle());
    clock.advance(Duration::from_secs(5));
    // Who gives up takes nothing along: the keys come all the same.
    let mut impatient = rig.client().await;
    ask(&mut impatient, &token, PING).await;
    let fetch = keys.next().await;
    drop(impatient);
    ask(&mut client, &token, PING).await;
    fetch.json(jwks([&issuer])).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
    assert!(keys.is_idle());
}

#[tokio::test]
async fn jwks_file_is_reread_on_change() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Issuer::new("ES256", "old"), Issuer::new("ES256", "new"));
    let path = file(dir.path(), &jwks([&old]));
    let (rig, mut server) = rig(&signed(&path, "")).await;
    let mut client = rig.client().await;
    passes(&mut client, &mut server, &old.token(&json!({}))).await;
    file(dir.path(), &jwks([&old, &new]));
    passes(&mut client, &mut server, &new.token(&json!({}))).await;
    file(dir.path(), &jwks([&new]));
    let (response, _) = refused(&mut client, &mut server, &old.token(&json!({}))).await;
    assert_eq!(response.status(), "401");
    std::fs::remove_file(&path).unwrap();
    let (response, text) = refused(&mut client, &mut server, &new.token(&json!({}))).await;
    assert_eq!((response.status(), response.head.get("retry-after")), ("503", Some("5")));
    assert!(!text.contains(&path), "{text}");
    rig.line(Level::Error, &format!("the keys in `{path}` cannot be read")).await;
}

#[tokio::test]
async fn scopes_limit_methods_and_tools() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("EdDSA", "a");
    let path = file(dir.path(), &jwks([&issuer]));
    let require = "[[require]]\nmethod = \"tools/call\"\nscopes = [\"call\"]\n[[require]]\ntool = \"drop\"\nscopes = [\"admin\"]\n";
    let key = known("robot", "robot-key", "scopes = [\"call\"]");
    let (rig, mut server) = rig(&[signed(&path, "scopes = [\"mcp\"]"), key, require.to_owned()].concat()).await;
    let mut client = rig.client().await;
    let call = |tool: &str| format!(r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    let token = |claims: Value| issuer.token(&claims);
    for (token, body, lacking) in [
        (token(json!({})), PING.to_owned(), Some("mcp")),
        (token(json!({"scope": "mcpx xmcp"})), PING.to_owned(), Some("mcp")),
        (token(json!({"scope": "other mcp"})), PING.to_owned(), None),
        (token(json!({"scp": ["mcp"]})), PING.to_owned(), None),
        (token(json!({"scope": "mcp"})), call("look"), Some("call")),
        (token(json!({"scope": "mcp", "scp": ["call"]})), call("look"), None),
        (token(json!({"scope": "mcp call"})), call("drop"), Some("call admin")),
        (token(json!({"scope": "mcp call"})), format!("[{PING},{}]", call("drop")), Some("call admin")),
        (token(json!({"scope": "admin call mcp"})), call("drop"), None),
        ("robot-key".to_owned(), call("look"), None),
        ("robot-key".to_owned(), call("drop"), Some("call admin")),
    ] {
        ask(&mut client, &token, &body).await;
        let Some(lacking) = lacking else {
            server.next().await.json("{}").await;
            assert_eq!(client.response().await.status(), "200", "{body}");
            continue;
        };
        let response = client.response().await;
        assert_eq!(response.status(), "403", "{body}");
        let challenge = response.head.get("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.ends_with(&format!(", scope=\"{lacking}\"")), "{challenge}");
        if body == call("drop") {
            assert_eq!(response.json()["id"], 9);
        }
        assert!(server.is_idle());
    }
}

#[tokio::test]
async fn api_key_header_is_stripped() {
    let (rig, mut server) = rig(&format!("header = \"x-api-key\"\n{}", known("ann", "key-one", ""))).await;
    let mut client = rig.client().await;
    client.headers = "x-api-key: key-two\r\n".to_owned();
    let response = client.call(PING).await;
    assert_eq!(response.status(), "401");
    let challenge = response.head.get("www-authenticate").unwrap();
    assert!(challenge.starts_with("ApiKey realm=\"tapline\", header=\"x-api-key\", error="), "{challenge}");
    client.headers = "x-api-key: key-one\r\nauthorization: Bearer mine\r\nx-other: 1\r\n".to_owned();
    client.post(PING).await;
    let exchange = server.next().await;
    let seen = ["x-api-key", "authorization", "x-other"].map(|name| exchange.head.get(name));
    assert_eq!(seen, [None, None, Some("1")]);
    exchange.json("{}").await;
    client.response().await;
}

#[tokio::test]
async fn token_never_leaves_the_front_door() {
    const TOKEN: &str = "hunter2-hunter2";
    const UPSTREAM: &str = "upstream-credential";
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start().await;
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut extra = http::HeaderValue::from_static("Bearer upstream-credential");
    extra.set_sensitive(true);
    let upstream = HttpUpstream::new(&server.url(), vec![(http::header::AUTHORIZATION, extra)]).unwrap();
    let settings = Settings {
        tapes: Some(dir.path().to_owned()),
        ..guarded(Settings::new(Target::Server(std::sync::Arc::new(upstream))), &known("ann", TOKEN, ""))
    };
    let rig = Rig::start(settings).await;
    let mut client = rig.client().await;
    client.headers = format!("authorization: Bearer {TOKEN}\r\n");
    for (start, body) in [("POST /mcp", INITIALIZE), ("GET /mcp", ""), ("GET /elsewhere", ""), ("POST /mcp", PING)] {
        let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        client.request(start, &head, body.as_bytes()).await;
        let exchange = server.next().await;
        assert_eq!(exchange.head.all("authorization"), [format!("Bearer {UPSTREAM}")]);
        assert!(!format!("{:?}{:?}", exchange.head, exchange.body).contains(TOKEN));
        exchange.json("{}").await;
        client.response().await;
    }
    client.headers = format!("authorization: Bearer {TOKEN}x\r\n");
    assert_eq!(client.call(PING).await.status(), "401");
    let told = rig.quit(OnQuit::Forward).await;
    let passed = told.iter().filter(|event| matches!(event, Event::Passed(_))).count();
    assert!(passed >= 4, "{passed}");
    let told = format!("{told:?}{}", serde_json::to_string(&told).unwrap());
    let mut tapes = 0;
    for tape in std::fs::read_dir(dir.path()).unwrap() {
        let tape = std::fs::read_to_string(tape.unwrap().path()).unwrap();
        assert!(!tape.contains(TOKEN) && !tape.contains(UPSTREAM));
        tapes += 1;
    }
    assert!(tapes > 0);
    assert!(!told.contains(TOKEN) && !told.contains(UPSTREAM));
}

#[tokio::test]
async fn session_belongs_to_its_caller() {
    let section = [known("ann", "one", ""), known("bob", "two", ""), known("ann", "next", "")].concat();
    let (rig, mut server) = rig(&section).await;
    let mut client = rig.client().await;
    client.headers = "authorization: Bearer one\r\n".to_owned();
    client.post(INITIALIZE).await;
    let initialized = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    server.next().await.json_with("mcp-session-id: s1\r\n", initialized).await;
    client.response().await;
    for (token, status) in [("two", "404"), ("one", "200"), ("next", "200"), ("two", "404")] {
        client.headers = format!("authorization: Bearer {token}\r\nmcp-session-id: s1\r\n");
        client.post(PING).await;
        if status == "200" {
            server.next().await.json("{}").await;
        }
        assert_eq!(client.response().await.status(), status, "{token}");
        assert!(server.is_idle());
    }
}

#[tokio::test]
async fn resource_metadata_per_upstream() {
    let (one, mut two) = (Server::start().await, Server::start().await);
    let placed = |name: &str, server: &Server| {
        let target = Target::Server(std::sync::Arc::new(HttpUpstream::new(&server.url(), Vec::new()).unwrap()));
        MountSpec { name: Some(name.to_owned()), is_default: false, target }
    };
    let base = guarded(settings(&one.url()), &known("ann", "one", ""));
    let rig = Rig::start(Settings { upstreams: vec![placed("one", &one), placed("two", &two)], ..base }).await;
    let mut client = rig.client().await;
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", PING.len());
    client.request("POST /two/mcp", &length, PING.as_bytes()).await;
    let response = client.response().await;
    let metadata = format!("http://{}/.well-known/oauth-protected-resource/two/mcp", rig.address());
    assert_eq!(response.status(), "401");
    assert!(response.head.get("www-authenticate").unwrap().contains(&format!("\"{metadata}\"")), "{response:?}");
    client.request("GET /.well-known/oauth-protected-resource/two/mcp", "", b"").await;
    assert_eq!(client.response().await.json()["resource"], format!("http://{}/two/mcp", rig.address()));
    client.headers = "authorization: Bearer one\r\n".to_owned();
    client.request("POST /two/mcp", &length, PING.as_bytes()).await;
    let exchange = two.next().await;
    assert_eq!(exchange.head.get("authorization"), None);
    exchange.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
}

#[tokio::test]
async fn legacy_sse_checks_the_token_on_stream_and_post() {
    let section = [known("ann", "one", "scopes = []"), known("bob", "two", "")].concat();
    let section = format!("{section}[[require]]\nmethod = \"tools/*\"\nscopes = \"use\"\n");
    let child = tapline::upstream::stdio::CommandLine::new(&["cat".to_owned()]).unwrap();
    let guardian = tapline::children::guardian::Guardian::new(crate::support::tapline_binary());
    let rig = Rig::start(guarded(Settings::new(Target::command(child, guardian)), &section)).await;
    let mut client = LegacySseClient::open_with(rig.address(), "authorization: Bearer one\r\n").await;
    assert_eq!(client.post(PING).await.status(), "202");
    assert_eq!(client.message().await["method"], "ping");
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    let response = client.post(list).await;
    assert_eq!((response.status(), &response.json()["id"]), ("403", &json!(2)));
    let address = client.address.clone();
    let mut other = rig.client().await;
    for (headers, status) in [("", "401"), ("authorization: Bearer two\r\n", "404")] {
        let head = format!("{headers}content-type: application/json\r\ncontent-length: {}\r\n", PING.len());
        other.request(&format!("POST {address}"), &head, PING.as_bytes()).await;
        assert_eq!(other.response().await.status(), status);
    }
}

#[tokio::test]
async fn rmcp_client_with_a_token_works() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("RS256", "a");
    let section = signed(&file(dir.path(), &jwks([&issuer])), "");
    let words = crate::support::child::role("rmcp");
    let guardian = tapline::children::guardian::Guardian::new(crate::support::tapline_binary());
    let target = Target::command(tapline::upstream::stdio::CommandLine::new(&words).unwrap(), guardian);
    let rig = Rig::start(guarded(Settings::new(target), &section)).await;
    let config = StreamableHttpClientTransportConfig::with_uri(rig.url()).auth_header(issuer.token(&json!({})));
    let client = soon("a session", ().serve(StreamableHttpClientTransport::from_config(config))).await.unwrap();
    let tools = soon("tools", client.list_all_tools()).await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "echo"), "{tools:?}");
    soon("the end", client.cancel()).await.unwrap();
    assert_eq!(rig.complaints(), Vec::<String>::new());

    let config = StreamableHttpClientTransportConfig::with_uri(rig.url());
    let refused = soon("a refusal", ().serve(StreamableHttpClientTransport::from_config(config))).await;
    assert!(refused.is_err());
    rig.line(Level::Warn, "a token is needed").await;
}

#[tokio::test]
async fn settings_without_any_token_are_refused_at_start() {
    for (section, limits, why) in [
        ("header = \"x-api-key\"", "", "`[auth]` admits no client"),
        ("", "per = \"token\"\nrate = \"1/s\"", "the limit of 1/s per token needs `[auth]`"),
    ] {
        let mut settings = guarded(settings("http://127.0.0.1:1/mcp"), section);
        settings.limits =
            Some(limits).filter(|it| !it.is_empty()).map(|it| toml::from_str(it).unwrap()).into_iter().collect();
        let error = Core::start(settings).await.err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}
