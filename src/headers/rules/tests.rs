use http::{HeaderName, HeaderValue};

use super::*;

const META_OK: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const USUAL: &str = "content-type: application/json\naccept: application/json, text/event-stream\n";

fn headers(text: &str) -> HeaderMap {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn judge(
    method: &Method,
    text: &str,
    body: Option<&str>,
    session: &NamedSession<'_>,
) -> Result<RequestPlace, (u16, i64)> {
    let (headers, message) = (headers(text), body.map(|body| Message::new(body.to_owned())));
    let request = ArrivedRequest { method, headers: &headers, message: message.as_ref() };
    let place = request.check_form().and_then(|()| request.check_place(session));
    place.map_err(|rule| (rule.status.as_u16(), rule.code))
}

fn agreed(revision: &'static str) -> impl Fn() -> Option<String> + Sync {
    move || Some(revision.to_owned())
}

#[test]
fn rules_of_form_are_those_of_the_sdk_servers() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let types = |content_type: &str, accept: &str| {
        let mut lines = String::new();
        for (name, value) in [("content-type", content_type), ("accept", accept)] {
            if !value.is_empty() {
                lines.push_str(&format!("{name}: {value}\n"));
            }
        }
        let agreed = agreed("2025-11-25");
        judge(&Method::POST, &lines, Some(call), &NamedSession::Known(&agreed)).map_err(|(status, _)| status)
    };
    let json = "application/json";
    for (content_type, accept, status) in [
        (json, "application/json, text/event-stream", 200),
        (json, "text/event-stream,application/json", 200),
        (json, "*/*", 200),
        (json, "application/*, TEXT/Event-Stream;q=0.5", 200),
        ("Application/JSON; charset=utf-8", "*/*;q=0.1", 200),
        (json, "application/json", 406),
        (json, "text/event-stream", 406),
        (json, "application/json, text/event-stream;q=0", 406),
        (json, "text/html", 406),
        (json, "", 406),
        ("text/plain", "*/*", 415),
        ("application/jsonp", "*/*", 415),
        ("", "*/*", 415),
    ] {
        let told = types(content_type, accept).err().unwrap_or(200);
        assert_eq!(told, status, "{content_type} {accept}");
    }
}

#[test]
fn rules_of_bodies_tell_no_json_from_no_message() {
    let agreed = agreed("2025-11-25");
    for (body, code) in [
        ("", -32700),
        (" \n", -32700),
        ("nonsense", -32700),
        (r#"{"jsonrpc":"2.0","#, -32700),
        (r#"{"jsonrpc":"2.0","method":"notifications/x"}{}"#, -32700),
        ("[1", -32700),
        ("42", -32600),
        ("null", -32600),
        (r#""text""#, -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, 0),
        (r#" {"jsonrpc":"2.0","id":7.0,"method":"ping","params":null} "#, 0),
        (r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"future/method","params":{"x":1e400}}"#, 0),
        (r#"{"jsonrpc":"2.0","id":null,"method":"notifications/x"}"#, 0),
        (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#, 0),
        (r#"{"jsonrpc":"2.0","id":"x","result":{}}"#, 0),
    ] {
        let told = judge(&Method::POST, USUAL, Some(body), &NamedSession::Known(&agreed));
        let expected = if code == 0 { Ok(RequestPlace::NamedSession) } else { Err((400, code)) };
        assert_eq!(told, expected, "{body}");
    }
}

#[test]
fn rules_of_sessions_are_the_same_for_all_methods() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let get = format!("{USUAL}mcp-protocol-version: 2025-11-25\n");
    for (method, body, unnamed, unknown, known) in [
        (Method::POST, Some(call), 400, 404, 200),
        (Method::POST, Some(reply), 400, 404, 200),
        (Method::POST, Some(initialize), 200, 404, 400),
        (Method::GET, None, 400, 404, 200),
        (Method::DELETE, None, 400, 404, 200),
    ] {
        let agreed = agreed("2025-11-25");
        let told = [NamedSession::Unnamed, NamedSession::Unknown, NamedSession::Known(&agreed)]
            .map(|session| judge(&method, &get, body, &session).err().map_or(200, |(status, _)| status));
        assert_eq!(told, [unnamed, unknown, known], "{method} {body:?}");
    }
    let told = |accept: &str| judge(&Method::GET, accept, None, &NamedSession::Known(&agreed("2025-11-25"))).err();
    assert_eq!(told("accept: application/json\n"), Some((406, -32600)), "a stream for nobody");
    assert_eq!(told("x: y\n"), Some((406, -32600)));
    assert_eq!(told("accept: text/event-stream\n"), None);
}

#[test]
fn rules_of_versions_take_what_the_session_has_agreed_on() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let batch = format!("[{call}]");
    for (has_agreed, header, single, batched) in [
        ("2025-11-25", "2025-11-25", 200, 400),
        ("2025-11-25", "2024-11-05", 200, 400),
        ("2025-11-25", "", 200, 400),
        ("2025-11-25", "2099-01-01", 400, 400),
        ("2025-11-25", "nonsense", 400, 400),
        ("2025-06-18", "2025-06-18", 200, 400),
        ("2025-03-26", "2025-03-26", 200, 200),
        ("2025-03-26", "", 200, 200),
        ("draft-7", "draft-7", 200, 400),
    ] {
        let lines =
            if header.is_empty() { USUAL.to_owned() } else { format!("{USUAL}mcp-protocol-version: {header}\n") };
        let agreed = agreed(has_agreed);
        let told = [call, &batch].map(|body| {
            judge(&Method::POST, &lines, Some(body), &NamedSession::Known(&agreed))
                .err()
                .map_or(200, |(status, _)| status)
        });
        assert_eq!(told, [single, batched], "{has_agreed} {header}");
    }
    let twice = format!("{USUAL}mcp-protocol-version: 2025-11-25\nmcp-protocol-version: 2025-11-25\n");
    let agreed = agreed("2025-11-25");
    assert_eq!(judge(&Method::POST, &twice, Some(call), &NamedSession::Known(&agreed)), Err((400, -32600)));
    let begins = r#"[{"jsonrpc":"2.0","id":1,"method":"initialize"}]"#;
    let agreed = self::agreed("2025-03-26");
    assert_eq!(judge(&Method::POST, USUAL, Some(begins), &NamedSession::Known(&agreed)), Err((400, -32600)));
}

fn modern(lines: &str, method: &str, params: &str) -> Result<RequestPlace, (u16, i64)> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
    judge(&Method::POST, &format!("{USUAL}{lines}"), Some(&body), &NamedSession::Unnamed)
}

#[test]
fn rules_of_2026_compare_header_and_body() {
    let version = "mcp-protocol-version: 2026-07-28\n";
    let call = |name: &str| format!(r#""name":"{name}","arguments":{{}},{META_OK}"#);
    let bad = |code| Err((400, code));
    let (ok, list, echo) = (Ok(RequestPlace::Sessionless), "mcp-method: tools/list\n", "mcp-method: tools/call\n");
    for (lines, method, params, told) in [
        (format!("{version}{list}"), "tools/list", META_OK.to_owned(), ok),
        (list.to_owned(), "tools/list", META_OK.to_owned(), bad(-32020)),
        (format!("mcp-protocol-version: 2025-11-25\n{list}"), "tools/list", META_OK.to_owned(), bad(-32020)),
        (version.to_owned(), "tools/list", META_OK.to_owned(), bad(-32020)),
        (format!("{version}mcp-method: tools/LIST\n"), "tools/list", META_OK.to_owned(), bad(-32020)),
        (format!("{version}{list}{list}"), "tools/list", META_OK.to_owned(), bad(-32020)),
        (format!("{version}{version}{list}"), "tools/list", META_OK.to_owned(), bad(-32020)),
        (format!("{version}{echo}mcp-name: echo\n"), "tools/call", call("echo"), ok),
        (format!("{version}{echo}"), "tools/call", call("echo"), bad(-32020)),
        (format!("{version}{echo}mcp-name: other\n"), "tools/call", call("echo"), bad(-32020)),
        (format!("{version}{echo}mcp-name: echo\nmcp-name: echo\n"), "tools/call", call("echo"), bad(-32020)),
        (format!("{version}{echo}mcp-name: =?base64?w6ljaG8=?=\n"), "tools/call", call("écho"), ok),
        (format!("{version}{echo}mcp-name: =?base64?w6ljaG8?=\n"), "tools/call", call("écho"), bad(-32020)),
        (format!("{version}{echo}mcp-name: =?base64?/w==?=\n"), "tools/call", call("écho"), bad(-32020)),
        (
            format!("{version}mcp-method: resources/read\nmcp-name: test://x\n"),
            "resources/read",
            format!(r#""uri":"test://x",{META_OK}"#),
            ok,
        ),
        (format!("{version}mcp-method: tasks/get\n"), "tasks/get", format!(r#""taskId":"7",{META_OK}"#), ok),
        (
            format!("{version}mcp-method: tasks/get\nmcp-name: 8\n"),
            "tasks/get",
            format!(r#""taskId":"7",{META_OK}"#),
            bad(-32020),
        ),
        (format!("{version}mcp-method: future/method\n"), "future/method", META_OK.to_owned(), ok),
        // There is no such method, and servers do not agree on what it is on a pipe.
        (format!("{version}mcp-method: initialize\n"), "initialize", META_OK.to_owned(), Err((404, -32601))),
    ] {
        assert_eq!(modern(&lines, method, &params), told, "{lines}{params}");
    }
}

#[test]
fn rules_of_2026_want_what_a_request_must_say_of_itself() {
    let (version, list) = ("mcp-protocol-version: 2026-07-28\n", "mcp-method: tools/list\n");
    let bad = |code| Err((400, code));
    for (lines, method, params, told) in [
        (format!("{version}{list}"), "tools/list", String::new(), bad(-32602)),
        (format!("{version}{list}"), "tools/list", r#""_meta":{}"#.to_owned(), bad(-32602)),
        (format!("{version}{list}"), "tools/list", META_OK.replace("clientCapabilities", "x"), bad(-32602)),
        (format!("{version}{list}"), "tools/list", META_OK.replace("{}", "7"), bad(-32602)),
        (format!("{version}{list}"), "tools/list", META_OK.replace("\"2026-07-28\"", "7"), bad(-32602)),
        (version.replace("2026", "2099"), "tools/list", META_OK.replace("2026", "2099"), bad(-32022)),
        (version.replace("2026", "2099"), "tools/list", String::new(), bad(-32022)),
    ] {
        assert_eq!(modern(&lines, method, &params), told, "{lines}{params}");
    }
}

#[test]
fn rules_of_2026_have_no_sessions() {
    let version = "mcp-protocol-version: 2026-07-28\n";
    let lines = format!("{USUAL}{version}mcp-method: tools/list\n");
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META_OK}}}}}"#);
    let (older, same) = (agreed("2025-11-25"), agreed("2026-07-28"));
    for (session, place) in [
        (NamedSession::Unnamed, RequestPlace::Sessionless),
        (NamedSession::Unknown, RequestPlace::Sessionless),
        (NamedSession::Known(&older), RequestPlace::Sessionless),
        // A server that has agreed on it in a handshake, though there is none in it.
        (NamedSession::Known(&same), RequestPlace::NamedSession),
    ] {
        assert_eq!(judge(&Method::POST, &lines, Some(&body), &session), Ok(place));
    }
    for method in [Method::GET, Method::DELETE] {
        for (session, status) in
            [(NamedSession::Unnamed, 405), (NamedSession::Known(&older), 405), (NamedSession::Known(&same), 200)]
        {
            let told = judge(&method, &lines, None, &session).err().map_or(200, |(status, _)| status);
            assert_eq!(told, status, "{method}");
        }
    }
    for (body, told) in [
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Err((400, -32600))),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Err((400, -32600))),
        (r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#, Err((400, -32020))),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
            Ok(RequestPlace::Sessionless),
        ),
    ] {
        let lines = format!("{USUAL}{version}");
        assert_eq!(judge(&Method::POST, &lines, Some(body), &NamedSession::Unnamed), told, "{body}");
    }
}

#[test]
fn rules_of_2026_tell_what_is_supported() {
    let lines = format!("{USUAL}mcp-protocol-version: 2026-07-28\nmcp-method: tools/list\n");
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META_OK}}}}}"#);
    let unsupported = ArrivedRequest {
        method: &Method::POST,
        headers: &headers(&lines.replace("2026", "2099")),
        message: Some(&Message::new(body.replace("2026", "2099"))),
    };
    let told = unsupported.check_place(&NamedSession::Unnamed).unwrap_err();
    assert_eq!(told.data, Some(json!({ "supported": ["2026-07-28"], "requested": "2099-07-28" })));
}

#[test]
fn rules_of_arguments_in_headers_follow_the_list_of_tools() {
    let mut tools = ParamHeaders::default();
    tools.learn(&Message::new(
        r#"{"result":{"tools":[{"name":"deploy","inputSchema":{"properties":{"region":{"x-mcp-header":"Region"},
        "size":{"properties":{"count":{"x-mcp-header":"Count"}}},"dry":{"x-mcp-header":"Dry"}}}}]}}"#,
    ));
    let check = |tool: &str, arguments: &str, lines: &str| {
        let body = format!(r#"{{"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#);
        let request =
            ArrivedRequest { method: &Method::POST, headers: &headers(lines), message: Some(&Message::new(body)) };
        request.check_params(&tools).map_err(|rule| (rule.status.as_u16(), rule.code))
    };
    let wrong = Err((400, -32020));
    for (arguments, lines, told) in [
        (r#"{"region":"west"}"#, "mcp-param-region: west\n", Ok(())),
        (r#"{"region":"west"}"#, "mcp-param-region: east\n", wrong),
        (r#"{"region":"west"}"#, "", wrong),
        (r#"{"region":"west"}"#, "mcp-param-region: west\nmcp-param-region: west\n", wrong),
        (r#"{"region":"nørd"}"#, "mcp-param-region: =?base64?bsO4cmQ=?=\n", Ok(())),
        (r#"{"region":"nørd"}"#, "mcp-param-region: =?base64?bsO4cmQ?=\n", wrong),
        (r#"{"region":null}"#, "", Ok(())),
        ("{}", "mcp-param-region: west\n", Ok(())),
        (r#"{"size":{"count":42}}"#, "mcp-param-count: 42.0\n", Ok(())),
        (r#"{"size":{"count":42}}"#, "mcp-param-count: 43\n", wrong),
        (r#"{"dry":true}"#, "mcp-param-dry: true\n", Ok(())),
        (r#"{"dry":true}"#, "mcp-param-dry: TRUE\n", wrong),
        ("{}", "mcp-param-new: 1\n", Ok(())),
    ] {
        assert_eq!(check("deploy", arguments, lines), told, "{arguments} {lines}");
        assert_eq!(check("other", arguments, lines), Ok(()), "its schema was never seen");
    }
}

#[test]
fn status_of_an_answer_is_what_its_error_means() {
    let status = |method: &str, code: i64| {
        let request = Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
        status_of(&request, &Message::error_reply(None, code, "no", None)).map(|status| status.as_u16())
    };
    for (method, code, told) in [
        ("tools/list", -32601, Some(404)),
        ("tools/list", -32020, Some(400)),
        ("tools/list", -32021, Some(400)),
        ("tools/list", -32022, Some(400)),
        ("tools/list", -32602, None),
        ("tools/list", -32603, None),
        ("server/discover", -32601, Some(404)),
        ("server/discover", -32602, Some(400)),
        ("server/discover", -32000, Some(400)),
    ] {
        assert_eq!(status(method, code), told, "{method} {code}");
    }
    assert_eq!(status_of(&Message::new("{}"), &Message::new(r#"{"id":1,"result":{}}"#)), None);
}
