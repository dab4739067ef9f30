use clap::Parser as _;
use proptest::prelude::*;

use super::*;
use crate::cli::{Cli, CliCommand, TransportArg};
use crate::wrap::clients::ANYWHERE;
use crate::wrap::doc::steps;

const TAPLINE: &str = "/opt/tap line/tapline";

fn source(text: &str) -> EditSource<'_> {
    let format = if text.trim_start_matches('\u{feff}').starts_with(['{', '/']) {
        ConfigFormat::Jsonc
    } else {
        ConfigFormat::Toml
    };
    EditSource { text, format, containers: ANYWHERE, taplines: &[] }
}

fn all(servers: &[String]) -> WrapChoice<'_> {
    WrapChoice { tapline: TAPLINE, servers, remote: true, headers: true }
}

/// Wraps everything, checks the way back, and gives the wrapped text.
#[track_caller]
fn wrapped(text: &str) -> String {
    let edit = wrap(source(text), all(&[])).unwrap();
    assert!(!edit.changed.is_empty(), "{:?}", edit.skipped);
    let back = unwrap(source(&edit.text), &[], &edit.changed).unwrap();
    assert_eq!(back.text, text);
    assert_eq!(back.skipped, []);
    if !edit.changed.iter().any(OriginalServer::is_remote) {
        let parts: Vec<_> = edit.changed.iter().map(|was| OriginalServer { entry: None, ..was.clone() }).collect();
        assert_eq!(unwrap(source(&edit.text), &[], &parts).unwrap().text, text);
    }
    edit.text
}

#[test]
fn edit_changes_only_command_and_args() {
    for (text, expected) in [
        // Claude Desktop, Cursor, Windsurf, Gemini CLI: several lines, or one.
        (
            "{\n  \"mcpServers\": {\n    \"fs\": {\n      \"command\": \"npx\",\n      \"args\": [\n        \"-y\",\n        \"fs\"\n      ],\n      \"env\": { \"A\": \"1\" }\n    }\n  }\n}\n",
            "{\n  \"mcpServers\": {\n    \"fs\": {\n      \"command\": \"/opt/tap line/tapline\",\n      \"args\": [\n        \"stdio\",\n        \"--name=fs\",\n        \"--\",\n        \"npx\",\n        \"-y\",\n        \"fs\"\n      ],\n      \"env\": { \"A\": \"1\" }\n    }\n  }\n}\n",
        ),
        (
            r#"{"mcpServers":{"a":{"args":["x"],"command":"n\u0070x"}}}"#,
            r#"{"mcpServers":{"a":{"args":["stdio","--name=a","--","n\u0070x","x"],"command":"/opt/tap line/tapline"}}}"#,
        ),
        // No arguments: none in the list, no list, no list on one line.
        (
            r#"{"mcpServers": {"a": {"command": "x", "args": []}}}"#,
            r#"{"mcpServers": {"a": {"command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--", "x"]}}}"#,
        ),
        (
            "{\"mcpServers\": {\"a\": {\r\n\t\"command\" : \"x\" // why\r\n}}}",
            "{\"mcpServers\": {\"a\": {\r\n\t\"command\" : \"/opt/tap line/tapline\",\r\n\t\"args\" : [\"stdio\", \"--name=a\", \"--\", \"x\"] // why\r\n}}}",
        ),
        (
            r#"{"mcpServers":{"a":{"command":"x","env":{}}}}"#,
            r#"{"mcpServers":{"a":{"command":"/opt/tap line/tapline","args":["stdio", "--name=a", "--", "x"],"env":{}}}}"#,
        ),
        // Comments, trailing commas, tabs, CRLF, a byte order mark, odd spacing, other scripts.
        (
            "\u{feff}// ünï\r\n{\r\n\t\"servers\" :\t{ /* the one */\r\n\t\t\"日本\" : {\"type\":\"stdio\", \"command\"  :\"x\" , \"args\":[ // first\r\n\t\t\t\"-y\", // yes\r\n\t\t\t\"é\",\r\n\t\t],},\r\n\t},\r\n}\r\n\r\n",
            "\u{feff}// ünï\r\n{\r\n\t\"servers\" :\t{ /* the one */\r\n\t\t\"日本\" : {\"type\":\"stdio\", \"command\"  :\"/opt/tap line/tapline\" , \"args\":[ // first\r\n\t\t\t\"stdio\",\r\n\t\t\t\"--name=日本\",\r\n\t\t\t\"--\",\r\n\t\t\t\"x\",\r\n\t\t\t\"-y\", // yes\r\n\t\t\t\"é\",\r\n\t\t],},\r\n\t},\r\n}\r\n\r\n",
        ),
        // VS Code's settings, Claude Code's projects.
        (
            r#"{"mcp": {"servers": {"a": {"command": "${workspaceFolder}/s", "args": ["${input:k}"]}}}, "x": 1.0}"#,
            r#"{"mcp": {"servers": {"a": {"command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--", "${workspaceFolder}/s", "${input:k}"]}}}, "x": 1.0}"#,
        ),
        (
            r#"{"projects": {"/p": {"mcpServers": {"a": {"command": "x", "args": ["--", "y"]}}}, "/q": {}}}"#,
            r#"{"projects": {"/p": {"mcpServers": {"a": {"command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--", "x", "--", "y"]}}}, "/q": {}}}"#,
        ),
        // Zed, now and before.
        (
            r#"{"context_servers": {"a": {"source": "custom", "command": "x", "args": ["y"], "env": {}}}}"#,
            r#"{"context_servers": {"a": {"source": "custom", "command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--", "x", "y"], "env": {}}}}"#,
        ),
        (
            r#"{"context_servers": {"a": {"command": {"path": "x", "args": ["y"], "env": null}, "settings": {}}}}"#,
            r#"{"context_servers": {"a": {"command": {"path": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--", "x", "y"], "env": null}, "settings": {}}}}"#,
        ),
        // A command that is a list.
        (
            r#"{"mcp": {"a": {"type": "local", "command": ["x", "y"]}}}"#,
            r#"{"mcp": {"a": {"type": "local", "command": ["/opt/tap line/tapline", "stdio", "--name=a", "--", "x", "y"]}}}"#,
        ),
        // The last of two members counts.
        (
            r#"{"mcpServers": {"a": {"command": "x", "args": []}, "a": {"command": "y", "command": "z", "args": ["1"]}}}"#,
            r#"{"mcpServers": {"a": {"command": "x", "args": []}, "a": {"command": "y", "command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--", "z", "1"]}}}"#,
        ),
        // Codex: under a header, with dots, in braces; with and without arguments.
        (
            "model = \"o\" # m\n\n[mcp_servers.a]\ncommand = 'npx' # the runner\nargs = [\"-y\", 'b']\n\n[mcp_servers.a.env]\nK = \"v\"\n",
            "model = \"o\" # m\n\n[mcp_servers.a]\ncommand = \"/opt/tap line/tapline\" # the runner\nargs = [\"stdio\", \"--name=a\", \"--\", 'npx', \"-y\", 'b']\n\n[mcp_servers.a.env]\nK = \"v\"\n",
        ),
        (
            "[mcp_servers.a]\r\n  command=\"x\" # why\r\n[other]\r\n",
            "[mcp_servers.a]\r\n  args = [\"stdio\", \"--name=a\", \"--\", \"x\"]\r\n  command=\"/opt/tap line/tapline\" # why\r\n[other]\r\n",
        ),
        (
            "mcp_servers.a.command = '''x'''",
            "mcp_servers.a.args = [\"stdio\", \"--name=a\", \"--\", '''x''']\nmcp_servers.a.command = \"/opt/tap line/tapline\"",
        ),
        (
            "[mcp_servers]\na = { command = \"x\", env = { B = \"c\" } }\nb = {command=\"y\",args=[ ]}\n",
            "[mcp_servers]\na = { command = \"/opt/tap line/tapline\", args = [\"stdio\", \"--name=a\", \"--\", \"x\"], env = { B = \"c\" } }\nb = {command=\"/opt/tap line/tapline\",args=[\"stdio\", \"--name=b\", \"--\", \"y\" ]}\n",
        ),
        (
            "[mcp_servers.\"a b\"]\nargs = [\n    # first\n    \"x\", # second\n]\ncommand = \"\"\"y\"\"\"\n",
            "[mcp_servers.\"a b\"]\nargs = [\n    # first\n    \"stdio\",\n    \"--name=a b\",\n    \"--\",\n    \"\"\"y\"\"\",\n    \"x\", # second\n]\ncommand = \"/opt/tap line/tapline\"\n",
        ),
    ] {
        assert_eq!(wrapped(text), expected);
    }
}

#[test]
fn url_becomes_a_command() {
    for (text, expected) in [
        (
            r#"{"mcpServers": {"a": {"type": "http", "url": "http://h/mcp", "timeout": 3}}}"#,
            r#"{"mcpServers": {"a": {"type": "stdio", "command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--upstream", "http://h/mcp"], "timeout": 3}}}"#,
        ),
        (
            "{\"mcpServers\": {\"a\": {\n  \"httpUrl\": \"http://h\",\n  \"headers\": {\"A\": \"b \\\"c\\\"\", \"D\": \"${E}\"},\n  \"trust\": true\n}}}",
            "{\"mcpServers\": {\"a\": {\n  \"command\": \"/opt/tap line/tapline\",\n  \"args\": [\"stdio\", \"--name=a\", \"--upstream\", \"http://h\"],\n  \"env\": {\"TAPLINE_HEADERS\": \"A: b \\\"c\\\"\\nD: ${E}\"},\n  \"trust\": true\n}}}",
        ),
        (
            r#"{"mcpServers": {"a": {"headers": {"A": "b"}, "serverUrl": "http://h"}}}"#,
            r#"{"mcpServers": {"a": {"command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--upstream", "http://h"], "env": {"TAPLINE_HEADERS": "A: b"}}}}"#,
        ),
        // An environment of its own: kept.
        (
            r#"{"mcpServers": {"a": {"env": { "K": "v"}, "url": "http://h", "headers": {"A": "b"}}}}"#,
            r#"{"mcpServers": {"a": {"env": { "TAPLINE_HEADERS": "A: b", "K": "v"}, "command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--upstream", "http://h"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"url": "http://h", "headers": {"A": "b"}, "env": { }}}}"#,
            r#"{"mcpServers": {"a": {"command": "/opt/tap line/tapline", "args": ["stdio", "--name=a", "--upstream", "http://h"], "env": {"TAPLINE_HEADERS": "A: b" }}}}"#,
        ),
        (
            "[mcp_servers.a]\nurl = 'http://h'\nhttp_headers = { A = 'b' }\n",
            "[mcp_servers.a]\nenv = {TAPLINE_HEADERS = \"A: b\"}\ncommand = \"/opt/tap line/tapline\"\nargs = [\"stdio\", \"--name=a\", \"--upstream\", 'http://h']\n",
        ),
        (
            "[mcp_servers.a]\nurl = 'http://h' # there\nenabled = true\n",
            "[mcp_servers.a]\ncommand = \"/opt/tap line/tapline\"\nargs = [\"stdio\", \"--name=a\", \"--upstream\", 'http://h'] # there\nenabled = true\n",
        ),
        (
            "mcp_servers.a = {url = \"http://h\", http_headers = {A = \"b\"}}",
            "mcp_servers.a = {command = \"/opt/tap line/tapline\", args = [\"stdio\", \"--name=a\", \"--upstream\", \"http://h\"], env = {TAPLINE_HEADERS = \"A: b\"}}",
        ),
    ] {
        assert_eq!(wrapped(text), expected);
    }
}

/// What tapline makes of the arguments that were written for the server `name` of a file of one server.
fn understood(name: &str, entry: &str) -> (Option<String>, Option<String>, TransportArg) {
    let text = format!("{{\"mcpServers\": {{{}: {entry}}}}}", literal(name));
    let wrapped: serde_json::Value = serde_json::from_str(&wrapped(&text)).unwrap();
    let args = wrapped["mcpServers"][name]["args"].as_array().unwrap();
    let words = std::iter::once("tapline").chain(args.iter().map(|word| word.as_str().unwrap()));
    match Cli::try_parse_from(words).unwrap().command {
        CliCommand::Stdio(args) => (args.common.control.name, args.target.upstream, args.target.transport),
        command => panic!("{command:?}"),
    }
}

#[test]
fn edit_names_the_server_as_its_client_does() {
    for (name, told) in [
        ("weather", true),
        ("My Server", true),
        ("日本", true),
        ("-x", true),
        ("--", true),
        ("--upstream", true),
        ("a=b \"c\" \\", true),
        // A client may put something else in its place, or be unable to launch it.
        ("${HOME}", false),
        ("a\u{0}b", false),
        ("", false),
    ] {
        let told = told.then(|| name.to_owned());
        assert_eq!(understood(name, r#"{"command": "x"}"#), (told.clone(), None, TransportArg::Auto), "{name:?}");
        let remote = understood(name, r#"{"url": "http://h/mcp"}"#);
        assert_eq!(remote, (told, Some("http://h/mcp".to_owned()), TransportArg::Auto), "{name:?}");
    }
}

#[test]
fn edit_keeps_the_transport_of_the_client() {
    for (kind, url, transport) in [
        (r#""type": "sse""#, "http://h/events", TransportArg::Sse),
        (r#""type": "sse""#, "http://h/sse", TransportArg::Sse),
        (r#""transport": "sse""#, "http://h/events", TransportArg::Sse),
        (r#""type": "sse", "transport": "sse""#, "http://h/events", TransportArg::Sse),
        (r#""type": "http""#, "http://h/mcp", TransportArg::Auto),
        (r#""type": "http""#, "http://h/sse", TransportArg::Http),
        (r#""type": "streamable-http""#, "http://h/sse?x=1", TransportArg::Http),
        (r#""timeout": 3"#, "http://h/sse", TransportArg::Auto),
    ] {
        let spoken = understood("a", &format!(r#"{{{kind}, "url": "{url}"}}"#));
        assert_eq!(spoken, (Some("a".to_owned()), Some(url.to_owned()), transport), "{kind} {url}");
    }
}

#[test]
fn unwrap_restores_what_an_older_tapline_wrapped() {
    for (wrapped, members, text) in [
        (
            r#"{"mcpServers": {"a": {"command": "/old/tapline", "args": ["stdio", "--", "x", "y"]}}}"#,
            &[][..],
            r#"{"mcpServers": {"a": {"command": "x", "args": ["y"]}}}"#,
        ),
        (
            r#"{"mcp": {"a": {"type": "local", "command": ["tapline", "stdio", "--", "x", "y"]}}}"#,
            &[],
            r#"{"mcp": {"a": {"type": "local", "command": ["x", "y"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"type": "stdio", "command": "tapline", "args": ["stdio", "--upstream", "http://h"]}}}"#,
            &[("url", r#""url": "http://h""#), ("type", r#""type": "sse""#)],
            r#"{"mcpServers": {"a": {"type": "sse", "url": "http://h"}}}"#,
        ),
    ] {
        let path = [if text.contains("mcpServers") { "mcpServers" } else { "mcp" }, "a"].map(str::to_owned).to_vec();
        let members = members.iter().map(|(key, raw)| ((*key).to_owned(), (*raw).to_owned())).collect();
        let was = [OriginalServer { path, members, ..OriginalServer::default() }];
        assert_eq!(unwrap(source(wrapped), &[], &was).unwrap().text, text);
    }
}

#[test]
fn entry_left_alone_says_why() {
    let strict = WrapChoice { remote: false, headers: false, ..all(&[]) };
    let remote = WrapChoice { headers: false, ..all(&[]) };
    for (choice, text, why) in [
        (strict, r#"{"mcpServers": {"a": {"url": "http://h"}}}"#, SkipReason::Remote),
        (
            remote,
            r#"{"mcpServers": {"a": {"url": "http://h", "headers": {"A": "b"}}}}"#,
            SkipReason::Headers("headers".to_owned()),
        ),
        (
            all(&[]),
            "[mcp_servers.a]\nurl = \"http://h\"\nbearer_token_env_var = \"T\"",
            SkipReason::Auth("bearer_token_env_var".to_owned()),
        ),
        (all(&[]), "[mcp_servers.a]\nurl = \"http://h\"\n[mcp_servers.a.http_headers]\nA = \"b\"", SkipReason::Odd),
        (all(&[]), r#"{"mcp": {"a": {"type": "remote", "url": "http://h"}}}"#, SkipReason::Odd),
        (all(&[]), r#"{"context_servers": {"a": {"source": "extension", "settings": {}}}}"#, SkipReason::Unknown),
        (all(&[]), r#"{"mcpServers": {"a": {"command": "npx -y x"}}}"#, SkipReason::ShellLine),
        (all(&[]), r#"{"mcpServers": {"a": {"command": "x", "args": "y"}}}"#, SkipReason::Odd),
        (
            all(&[]),
            r#"{"mcpServers": {"a": {"command": "/old/tapline", "args": ["stdio", "--", "x"]}}}"#,
            SkipReason::Wrapped,
        ),
        (
            all(&[]),
            r#"{"mcpServers": {"a": {"command": "C:\\t\\Tapline.exe", "args": ["stdio", "--upstream", "u"]}}}"#,
            SkipReason::Wrapped,
        ),
    ] {
        let edit = wrap(source(text), choice).unwrap();
        assert_eq!(edit.text, text);
        assert_eq!(edit.skipped, [("a".to_owned(), why)]);
    }
}

#[test]
fn wrap_leaves_headers_with_a_line_break_alone() {
    let text = r#"{"mcpServers": {"a": {"url": "http://h", "headers": {"A": "b\nC: d"}}}}"#;
    assert_eq!(wrap(source(text), all(&[])).unwrap().skipped, [("a".to_owned(), SkipReason::Odd)]);
}

/// A file of servers of both kinds.
fn many(count: usize) -> String {
    let servers: Vec<_> = (0..count)
        .map(|at| match at % 2 {
            0 => format!("\"s{at:05}\": {{\"command\": \"npx\", \"args\": [\"-y\", \"fs\"]}}"),
            _ => format!("\"s{at:05}\": {{\"url\": \"http://h/{at:05}\", \"headers\": {{\"A\": \"b\"}}}}"),
        })
        .collect();
    format!("{{\"mcpServers\": {{{}}}}}", servers.join(","))
}

#[test]
fn edit_is_linear_in_the_servers_of_a_file() {
    let work = |count: usize| {
        let text = many(count);
        steps::reset();
        let edit = wrap(source(&text), all(&[])).unwrap();
        let wrapped = steps::reset();
        assert_eq!((edit.changed.len(), &*edit.skipped), (count, &[][..]));
        // Nothing is known of their texts, so that each is edited.
        let parts: Vec<_> = edit.changed.into_iter().map(|was| OriginalServer { entry: None, ..was }).collect();
        steps::reset();
        assert_eq!(unwrap(source(&edit.text), &[], &parts).unwrap().text, text);
        (wrapped, steps::reset())
    };
    let (few, more) = (work(50), work(500));
    assert!(more.0 <= few.0 * 11 && more.1 <= few.1 * 11, "{few:?} {more:?}");
}

#[test]
fn edit_check_finds_those_that_read_otherwise_among_many() {
    let text = many(20);
    let doc = ConfigDoc::parse(&text, ConfigFormat::Jsonc).unwrap();
    let found = entries(&doc, ANYWHERE, &[]);
    // Not what was meant; and what breaks the file for all.
    for odd in [[3, 4, 17], [0, 1, 19]] {
        for wrong in ["{\"command\": \"no\"}", "{", "{}"] {
            let plan = |at: usize| {
                let entry = &found[at];
                let right = format!(
                    "{{\"command\": \"tapline\", \"args\": [\"stdio\", \"--\", {}]}}",
                    literal(&entry.summary())
                );
                let right =
                    if at.is_multiple_of(2) { right.replace("npx -y fs", "npx\", \"-y\", \"fs") } else { right };
                let splices = vec![Splice::replace(&entry.node.span, if odd.contains(&at) { wrong } else { &right })];
                PlannedEdit {
                    at,
                    splices,
                    was: OriginalServer { path: entry.path.clone(), ..OriginalServer::default() },
                }
            };
            let check = EditCheck { source: source(&text), doc: &doc, entries: &found, wrapped: true };
            let mut checked = check.run((0..20).map(plan).collect());
            checked.odd.sort_unstable();
            assert_eq!((&*checked.odd, checked.changed.len()), (&odd[..], 17), "{wrong}");
            let listed = servers(source(&checked.text)).unwrap();
            let left: Vec<_> = (0..20).filter(|at| !listed[*at].wrapped).collect();
            assert_eq!(left, odd, "{wrong}");
        }
    }
}

#[test]
fn entry_that_is_no_server_is_ignored() {
    for text in [
        "",
        "{}",
        "// nothing\n",
        "[]",
        r#"{"mcpServers": []}"#,
        r#"{"mcpServers": {"a": 1, "b": {}, "c": {"command": 1}}}"#,
        "# x\n",
    ] {
        let edit = wrap(EditSource { format: ConfigFormat::Jsonc, ..source(text.trim_start_matches('#')) }, all(&[]));
        let Ok(edit) = edit else { continue };
        assert!(edit.changed.is_empty() && edit.skipped.is_empty(), "{text}");
    }
}

#[test]
fn edit_touches_chosen_servers_only() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#;
    let names = ["b".to_owned()];
    let edit = wrap(source(text), all(&names)).unwrap();
    assert_eq!(edit.changed.iter().map(OriginalServer::name).collect::<Vec<_>>(), ["b"]);
    let listed = servers(source(&edit.text)).unwrap();
    assert_eq!(
        listed.iter().map(|server| (server.wrapped, &*server.summary)).collect::<Vec<_>>(),
        [(false, "x"), (true, "y")]
    );
    let both = wrap(source(&edit.text), all(&[])).unwrap();
    let was = [edit.changed, both.changed].concat();
    let back = unwrap(source(&both.text), &names, &was).unwrap();
    let listed = servers(source(&back.text)).unwrap();
    assert_eq!(listed.iter().map(|server| server.wrapped).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn unwrap_keeps_edits_made_meanwhile() {
    for (text, from, to, expected) in [
        // Another argument, another option of tapline, a formatter, a new server.
        (
            r#"{"mcpServers": {"a": {"command": "x", "args": ["y"]}}}"#,
            r#""y""#,
            r#""z", "y""#,
            r#"{"mcpServers": {"a": {"command": "x", "args": ["z", "y"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"command": "x"}}}"#,
            r#""--""#,
            r#""--tapes", "/t", "--""#,
            r#"{"mcpServers": {"a": {"command": "x"}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"command": "x"}}}"#,
            r#""x"]"#,
            r#""x", "new"]"#,
            r#"{"mcpServers": {"a": {"command": "x", "args": ["new"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"command": "x", "args": []}}}"#,
            r#""x"]"#,
            "\"x\" ,\n]",
            "{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": [\n]}}}",
        ),
        (
            r#"{"mcpServers": {"a": {"command": "x"}}}"#,
            "}}}",
            r#"}, "b": {"command": "n"}}, "k": 1}"#,
            r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "n"}}, "k": 1}"#,
        ),
        (
            "[mcp_servers.a]\ncommand = 'x'\n",
            "command",
            "# new\nenabled = true\ncommand",
            "[mcp_servers.a]\n# new\nenabled = true\ncommand = 'x'\n",
        ),
        ("[mcp_servers.a]\nurl = 'u'\n", "[mcp", "k = 1\n[mcp", "k = 1\n[mcp_servers.a]\nurl = 'u'\n"),
        // What was added to the environment, with that of tapline and without.
        (
            r#"{"mcpServers": {"a": {"url": "u", "headers": {"A": "b"}}}}"#,
            r#""A: b"}"#,
            r#""A: b", "K": "v"}"#,
            r#"{"mcpServers": {"a": {"url": "u", "headers": {"A": "b"}, "env": {"K": "v"}}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"url": "u", "headers": {"A": "b"}}}}"#,
            r#""env""#,
            r#""timeout": 3, "env""#,
            r#"{"mcpServers": {"a": {"url": "u", "headers": {"A": "b"}, "timeout": 3}}}"#,
        ),
        (
            r#"{"mcpServers": {"a": {"type": "sse", "url": "u", "headers": {"A": "b"}}}}"#,
            r#""type""#,
            r#""timeout": 3, "type""#,
            r#"{"mcpServers": {"a": {"timeout": 3, "type": "sse", "url": "u", "headers": {"A": "b"}}}}"#,
        ),
    ] {
        let edit = wrap(source(text), all(&[])).unwrap();
        let edited = edit.text.replacen(from, to, 1);
        assert_ne!(edited, edit.text);
        let back = unwrap(source(&edited), &[], &edit.changed).unwrap();
        assert_eq!(back.text, expected);
    }
}

#[test]
fn unwrap_needs_no_backup_for_a_command_and_reports_a_url() {
    let text = r#"{"mcpServers": {"a": {"command": "x", "args": ["y"]}}}"#;
    let edit = wrap(source(text), all(&[])).unwrap();
    assert_eq!(unwrap(source(&edit.text), &[], &[]).unwrap().text, text);

    let edit = wrap(source(r#"{"mcpServers": {"a": {"url": "http://h"}}}"#), all(&[])).unwrap();
    let back = unwrap(source(&edit.text), &[], &[]).unwrap();
    assert_eq!(back.text, edit.text);
    assert_eq!(back.skipped, [("a".to_owned(), SkipReason::Forgotten("http://h".to_owned()))]);
}

#[test]
fn unreadable_file_says_where_and_stays() {
    let misread = wrap(source("{\n \"mcpServers\": {,}\n}"), all(&[])).unwrap_err();
    assert_eq!((misread.line, misread.column), (2, 17), "{misread}");
}

/// White space and comments that may stand anywhere between two tokens of JSON.
fn space() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", " ", "\n", "\r\n\t", "/* c */", " // é\n  ", "\n    ", "\u{9}"])
        .prop_map(str::to_owned)
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z@/-]{1,8}", any::<String>(), Just("--".to_owned()), Just("stdio".to_owned())]
        .prop_map(|word| literal(&word))
}

fn toml_word() -> impl Strategy<Value = String> {
    prop_oneof![word(), "'[a-z@/ \"\\\\-]{0,8}'", "\"\"\"\n?[a-z ]{1,8}\"\"\"", "'''[a-z]{1,8}'''"]
}

prop_compose! {
    fn server()(
        name in "[a-z]{1,6}", program in word(), args in prop::option::of(prop::collection::vec(word(), 0..4)),
        spaces in prop::collection::vec(space(), 24), args_first in any::<bool>(), env in any::<bool>(), trailing in any::<bool>(),
    ) -> String {
        let mut spaces = spaces.into_iter().cycle();
        let mut s = || spaces.next().unwrap_or_default();
        let command = format!("{}\"command\"{}:{}{program}{}", s(), s(), s(), s());
        let args = args.map(|args| {
            let mut list = args.iter().map(|arg| format!("{}{arg}{}", s(), s())).collect::<Vec<_>>().join(",");
            if trailing && !args.is_empty() {
                list.push(',');
            }
            format!("{}\"args\":{}[{list}{}]{}", s(), s(), s(), s())
        });
        let mut members = vec![command];
        members.extend(args);
        if args_first {
            members.reverse();
        }
        if env {
            members.push(format!("\"env\":{{\"K\":{}\"v\"}}", s()));
        }
        format!("{}\"{name}\"{}:{{{}{}}}", s(), s(), members.join(","), s())
    }
}

proptest! {
    #[test]
    fn unwrap_undoes_wrap_byte_for_byte(servers in prop::collection::vec(server(), 1..4), bom in any::<bool>()) {
        let bom = if bom { "\u{feff}" } else { "" };
        let text = format!("{bom}{{\"mcpServers\":{{{}}}}}", servers.join(","));
        let edit = wrap(source(&text), all(&[])).unwrap();
        prop_assert!(edit.skipped.iter().all(|(_, why)| *why == SkipReason::ShellLine), "{:?}", edit.skipped);
        let back = unwrap(source(&edit.text), &[], &edit.changed).unwrap();
        prop_assert_eq!(&back.text, &text);
        let without_entries: Vec<_> = edit.changed.iter().map(|was| OriginalServer { entry: None, ..was.clone() }).collect();
        let back = unwrap(source(&edit.text), &[], &without_entries).unwrap();
        prop_assert_eq!(back.text, text);
        prop_assert!(wrap(source(&edit.text), all(&[])).unwrap().changed.is_empty());
    }

    #[test]
    fn unwrap_undoes_wrap_in_toml(
        name in "[a-zA-Z0-9_-]{1,6}", program in toml_word(), args in prop::option::of(prop::collection::vec(toml_word(), 0..4)),
        form in 0..4, eol in prop::sample::select(vec!["\n", "\r\n"]), note in prop::sample::select(vec!["", " # é"]), first in any::<bool>(),
        gap in prop::sample::select(vec!["", " ", "\n  ", "\n\t# c\n\t"]),
    ) {
        let gap = gap.replace('\n', eol);
        let args = args.map(|args| format!("args = [{}]", args.iter().map(|arg| format!("{gap}{arg}")).collect::<Vec<_>>().join(",")));
        let mut members = [Some(format!("command = {program}")), args].into_iter().flatten().collect::<Vec<_>>();
        if first {
            members.reverse();
        }
        let text = match form {
            0 => format!("[mcp_servers.{name}]{note}{eol}{}{note}{eol}[x]{eol}", members.join(&format!("{note}{eol}  "))),
            1 => members.iter().map(|member| format!("mcp_servers.{name}.{member}{note}{eol}")).collect(),
            2 => format!("[mcp_servers]{eol}{}", members.iter().map(|member| format!(" \"{name}\" . {member}{note}{eol}")).collect::<String>()),
            _ => format!("{eol}mcp_servers = {{ {name} = {{{}}} }}", members.join(", ")),
        };
        let edit = wrap(EditSource { format: ConfigFormat::Toml, ..source(&text) }, all(&[])).unwrap();
        prop_assert_eq!(edit.changed.len() + edit.skipped.iter().filter(|(_, why)| *why == SkipReason::ShellLine).count(), 1, "{:?}", edit.skipped);
        let back = unwrap(EditSource { format: ConfigFormat::Toml, ..source(&edit.text) }, &[], &edit.changed).unwrap();
        prop_assert_eq!(back.text, text);
    }

    #[test]
    fn edit_never_panics(text in "[{}\\[\\]\",:/*# \n=.a-c\u{e9}]{0,40}") {
        for format in [ConfigFormat::Jsonc, ConfigFormat::Toml] {
            if let Ok(edit) = wrap(EditSource { format, ..source(&text) }, all(&[])) {
                prop_assert_eq!(edit.changed.is_empty(), edit.text == text);
            }
        }
    }
}
