use super::*;

fn redacted(raw: &str) -> Option<String> {
    let mut redactor = Redactor::new(RedactRules::default());
    redactor.message(raw.as_bytes()).map(|it| String::from_utf8(it).unwrap())
}

#[test]
fn redactor_leaves_what_is_no_secret_byte_for_byte() {
    for raw in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"city":"Lisbon"}}}"#,
        r#"{"id":1, "params":{"_meta":{"progressToken":"abc12345"},"maxTokens":100}}"#,
        r#"{"result":{"tools":[{"inputSchema":{"properties":{"token":{"type":"string"}},"required":["token"]}}]}}"#,
        r#"{"result":{"content":[{"type":"text","text":"tokens: many, password: ask me"}]}}"#,
        r#"{"id":1,"result":{"nextCursor":"eyJvZmZzZXQiOjF9"}}"#,
        r#"{"usage":{"totalTokens":812,"max_tokens":4096,"token_count":7},"next_page_token":"q8Zt5Lw2Xr7Vb1Nm4Kc9"}"#,
        r#"{"tags":[{"key":"colour","value":"red"}],"sort_key":"name","author":"ann","authority":"x","pin":13,"passed":3}"#,
        r#"{"id":"6fa459ea-ee8a-3ca4-894e-db77e160355e","sha":"2fd4e1c67a2d28fced849ee1bb76e7391b93eb12","sessionId":"abc12345"}"#,
        r#"{"text":"basic functionality and bearer authentication, sk-learn-contrib-package, next_token: abc12345, sort key: abc123"}"#,
        r#"{"text":"http://localhost:8080/@scope, a: b@c, task-1234567890abcdef"}"#,
        r#"{"password":"string","token":"<your token>","api_key":"${KEY}","secret":true}"#,
        r#"{"text":"PWD=/home/me/work2","env":{"PWD":"/home/me/work2"}}"#,
        r#"{"text":"push({length:0,token:e.tokens.length-1,end:-1})"}"#,
        "not JSON",
        "",
    ] {
        assert_eq!(redacted(raw), None, "{raw}");
    }
}

#[test]
fn redactor_replaces_secrets_and_nothing_else() {
    for (raw, secret) in [
        (r#"{"params":{ "arguments":{"api_key" : "abc", "x":"\u00e9"}}}"#, "\"abc\""),
        (r#"{"params":{"requestState":"eyJ1c2VyIjoi"}}"#, "eyJ1c2VyIjoi"),
        (r#"{"params":{"arguments":{"password":["hunter2","hunter3"]}}}"#, "hunter"),
        (r#"{"text":"use ghp_abcdefghij0123456789 now"}"#, "ghp_"),
        (r#"{"text":"Authorization: Bearer abcdef.ghijkl.mnop"}"#, "abcdef"),
        (r#"{"text":"at postgres://me:s3cret@host/db"}"#, "s3cret"),
        (r#"{"text":"{\"password\":\"hunter2\",\"n\":1}"}"#, "hunter2"),
        (r#"{"text":"API_KEY=zxcv1234qwer"}"#, "zxcv1234"),
        (r#"{"text":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"}"#, "MIIE"),
        (r#"{"pin":4711}"#, "4711"),
        ("token=abc12345 and no JSON", "abc12345"),
    ] {
        let now = redacted(raw).expect(raw);
        assert!(!now.contains(secret), "{now}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(raw).is_ok(),
            serde_json::from_str::<serde_json::Value>(&now).is_ok(),
            "{now}"
        );
    }
    let now = redacted(r#"{"params":{ "arguments":{"api_key" : "abc", "x":"\u00e9"}}}"#).unwrap();
    assert!(
        now.starts_with(r#"{"params":{ "arguments":{"api_key" : "[redacted:"#)
            && now.ends_with(r#"]", "x":"\u00e9"}}}"#),
        "{now}"
    );
}

#[test]
fn redactor_is_consistent_within_a_tape_and_not_beyond() {
    let raw = r#"{"token":"abcd1234efgh","text":"your token abcd1234efgh"}"#;
    let mut redactor = Redactor::new(RedactRules::default());
    let mut once = || String::from_utf8(redactor.message(raw.as_bytes()).unwrap()).unwrap();
    let (first, second) = (once(), once());
    assert_eq!(first, second);
    let value: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(value["text"], format!("your token {}", value["token"].as_str().unwrap()));
    assert_ne!(redacted(raw), Some(first.clone()));
    assert_eq!(redacted(&first), None, "what is redacted stays so");
}

#[test]
fn redactor_takes_rules_of_the_user() {
    let rules = RedactRules {
        keys: vec!["ssn".to_owned()],
        paths: vec![".params.arguments.path".parse().unwrap()],
        regexes: vec![Regex::new(r"\d{3}-\d{4}").unwrap()],
        headers: vec!["x-tenant".to_owned()],
        entropy: true,
    };
    let mut redactor = Redactor::new(rules);
    let line = concat!(
        r#"{"seq":1,"at":1,"headers":{"x-tenant":"acme","accept":"a"},"msg":{"params":{"arguments":{"path":"/etc","SSN":"x","phone":"555-1234","#,
        r#""word":"q8Zt5Lw2Xr7Vb1Nm4Kc9","uuid":"6fa459ea-ee8a-3ca4-894e-db77e160355e","name":"retry-after-is-exactly-one"}}}}"#
    );
    let now = redactor.line(line).unwrap();
    for gone in ["acme", "/etc", "\"x\"", "555-1234", "q8Zt5Lw2Xr7Vb1Nm4Kc9"] {
        assert!(!now.contains(gone), "{gone}: {now}");
    }
    for stays in [r#""accept":"a""#, "retry-after-is-exactly-one", r#"{"seq":1,"at":1,"#] {
        assert!(now.contains(stays), "{stays}: {now}");
    }
}

#[test]
fn redactor_survives_a_deep_message() {
    let deep = format!("{}\"token=abc12345\"{}", "[".repeat(5_000), "]".repeat(5_000));
    redacted(&deep);
    redacted(&format!("{}{}", "{\"token\":".repeat(5_000), "}".repeat(5_000)));
}

#[test]
fn redactor_finds_what_the_user_names_wherever_it_stands() {
    let rules = RedactRules { keys: vec!["message".to_owned()], ..RedactRules::default() };
    let mut redactor = Redactor::new(rules);
    let mut said = |raw: &str| String::from_utf8(redactor.message(raw.as_bytes()).unwrap_or_default()).unwrap();
    let named = said(r#"{"message":"correct horse battery"}"#);
    let mark = &named[r#"{"message":""#.len()..named.len() - 2];
    assert_eq!(said(r#"{"text":"Echo: correct horse battery"}"#), format!(r#"{{"text":"Echo: {mark}"}}"#));
    // What is short is a part of too much.
    assert!(said(r#"{"message":"horse"}"#).contains("[redacted:"));
    assert_eq!(said(r#"{"text":"a horse"}"#), "");
}
