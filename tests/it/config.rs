//! The configuration, through the real binary: what is read from where, what is refused and how, and what is never shown.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::assert::OutputAssertExt as _;
use tempfile::TempDir;

use crate::support::binary::command;
use crate::support::{Binary, INITIALIZE, LegacySseClient, Server};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}}"#;

/// A directory to start tapline in, with a home beside it.
struct Place(TempDir);

impl Place {
    fn new(near: &str, far: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        fs::create_dir_all(place.path().join("home/.config/tapline")).unwrap();
        fs::create_dir(place.path().join("here")).unwrap();
        for (file, text) in [("here/tapline.toml", near), ("home/.config/tapline/config.toml", far)] {
            if !text.is_empty() {
                fs::write(place.path().join(file), text).unwrap();
            }
        }
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self) -> std::process::Command {
        let mut command = command();
        command.current_dir(self.path().join("here")).env("HOME", self.path().join("home"));
        command
    }

    /// Runs to the end; gives status, stdout and stderr.
    fn end(&self, arguments: &[&str]) -> (i32, String, String) {
        end(self.command().args(arguments))
    }
}

fn end(command: &mut std::process::Command) -> (i32, String, String) {
    let assert = command.assert();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn mistake_is_refused_at_start_with_its_line() {
    let wrong = "record = false\n\n[upstreams.a]\nurll = \"http://127.0.0.1:1/mcp\"\n";
    let place = Place::new(wrong, "");
    let expected = "tapline: tapline.toml:4:1: unknown key `urll`; did you mean `url`?\n    \
                    |\n  4 | urll = ...\n    | ^^^^\n";
    let named = ["stdio", "--config", "tapline.toml", "--", "cat"];
    for arguments in [&["run"][..], &["run", "--headless", "--", "cat"], &named, &["check"], &["demo"]] {
        assert_eq!(place.end(arguments), (2, String::new(), expected.to_owned()), "{arguments:?}");
    }
    assert_eq!(place.end(&["--version"]).0, 0);
    let user = place.path().join("home/.config/tapline/config.toml");
    fs::rename(place.path().join("here/tapline.toml"), &user).unwrap();
    let (status, _, stderr) = place.end(&["run", "--", "cat"]);
    assert_eq!(status, 2);
    assert!(stderr.starts_with(&format!("tapline: {}:4:1: unknown key", user.display())), "{stderr}");
}

#[test]
fn own_keys_of_the_file_are_in_help_and_manual() {
    let place = Place::new("[keys]\nfilter = \"ctrl q\"\n", "");
    for arguments in [&["help", "keys"][..], &["man"]] {
        let (status, stdout, stderr) = place.end(arguments);
        assert!(status == 0 && stdout.contains("ctrl q"), "{arguments:?}: {stdout}{stderr}");
    }
    // Of a file that lies elsewhere, and is wrong or not there.
    let other = place.path().join("other.toml");
    fs::write(&other, "[keys]\nfilter = \"ctrl j\"\n").unwrap();
    for (file, status, expected) in [("other.toml", 0, "ctrl j"), ("none.toml", 2, "none.toml")] {
        let file = place.path().join(file);
        for arguments in [&["help", "keys", "--config"][..], &["man", "--config"]] {
            let arguments: Vec<&str> = arguments.iter().copied().chain([file.to_str().unwrap()]).collect();
            let (ended, stdout, stderr) = place.end(&arguments);
            assert!(ended == status && (stdout + &stderr).contains(expected), "{arguments:?}: {stderr}");
        }
    }
    // Pages that are written for others have the usual keys.
    let pages = place.path().join("pages");
    assert_eq!(place.end(&["man", "--dir", pages.to_str().unwrap()]).0, 0);
    let page = fs::read_to_string(pages.join("tapline.1")).unwrap();
    assert!(page.contains(".SH KEYS") && !page.contains("ctrl q"), "{page}");
    // A file that is wrong is said elsewhere: help is what mends it.
    let wrong = Place::new("[keys]\nfilter = \"i\"\nhold = \"f3\"\nmark = \"nokey\"\n", "");
    assert_eq!(wrong.end(&["help", "keys"]).0, 0);
    let (status, _, stderr) = wrong.end(&["check"]);
    assert!(status == 2 && stderr.contains("tapline.toml:4:8: no key is called `nokey`"), "{stderr}");
}

#[test]
fn mistakes_of_every_kind_exit_2() {
    for (text, expected) in [
        ("max_body = 0", "tapline.toml:1:12: invalid value: integer `0`, expected a nonzero"),
        (
            "[upstreams.a]\nurl = \"http://a\"\n[upstreams.a]\n",
            "tapline.toml:3:12: `a` stands here for the second time",
        ),
        ("keep_alive = \"0s\"", "tapline.toml:1:14: a time above zero is needed"),
        ("hold = \"~nonsense\"", "tapline.toml:1:8: "),
        (
            "default = \"b\"\n[upstreams.a]\nurl = \"http://a\"",
            "tapline.toml:1:11: no upstream is called `b`; there are `a`",
        ),
        (
            "[upstreams.a]\nurl = \"http://a\"\nheaders = { x-key = \"${UNSET_HERE}\" }",
            "tapline.toml:3:21: the environment variable `UNSET_HERE` is not set",
        ),
    ] {
        let (status, stdout, stderr) = Place::new(text, "").end(&["run", "--headless", "--listen", "127.0.0.1:0"]);
        assert_eq!((status, stdout.as_str()), (2, ""), "{text}: {stderr}");
        assert!(stderr.contains(expected), "{text}: no `{expected}` in {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains('\x1b'), "{stderr}");
    }
    let place = Place::new("", "");
    let (status, _, stderr) = place.end(&["run", "--config", "other.toml"]);
    assert_eq!((status, stderr.starts_with("tapline: cannot read other.toml: ")), (2, true), "{stderr}");
    let several = Place::new("[upstreams.a]\nurl = \"http://a\"\n[upstreams.b]\nurl = \"http://b\"", "");
    let (status, _, stderr) = several.end(&["stdio", "--config", "tapline.toml"]);
    assert_eq!((status, stderr.contains("`--upstream NAME` takes one of them")), (2, true), "{stderr}");
}

#[tokio::test]
async fn precedence_is_flags_variables_near_file_far_file() {
    let url = Server::answering(|_| "{}".to_owned()).await;
    let near = "log_format = \"json\"\nrecord = false\n";
    let place = Place::new(near, &format!("log_format = \"text\"\n[upstreams.far]\nurl = \"{url}\"\n"));
    for (variable, flag, is_json) in
        [(None, None, true), (Some("text"), None, false), (Some("text"), Some("json"), true)]
    {
        let mut tapline = place.command();
        tapline.envs(variable.map(|form| ("TAPLINE_LOG_FORMAT", form)));
        let flags: Vec<_> = flag.into_iter().flat_map(|form| ["--log-format", form]).collect();
        let binary = Binary::run_as(tapline, &flags).await;
        assert!(binary.greeting.contains(&url), "{}", binary.greeting);
        assert_eq!(binary.greeting.starts_with('{'), is_json, "{variable:?} {flag:?}: {}", binary.greeting);
        binary.signal("TERM");
        assert_eq!(binary.end().await.0.code(), Some(143));
    }
    assert!(!place.path().join("home/.local").exists(), "the near file says that nothing is recorded");

    // Another file stands in for the near one, by flag or variable; the far one stays.
    fs::write(place.path().join("here/other.toml"), "record = false\n").unwrap();
    for (variables, flags) in
        [(vec![], vec!["--config", "other.toml"]), (vec![("TAPLINE_CONFIG", "other.toml")], vec![])]
    {
        let mut tapline = place.command();
        tapline.envs(variables);
        let mut binary = Binary::run_as(tapline, &flags).await;
        let said = binary.line().await.unwrap();
        assert!(!said.starts_with('{'), "{said}");
    }
}

#[tokio::test]
async fn upstreams_of_a_file_are_served() {
    let mut server = Server::start().await;
    let program = crate::support::tapline_binary();
    let text = format!(
        "record = false\n[upstreams.web]\nurl = \"{}\"\nheaders = {{ authorization = \"Bearer ${{WEB_TOKEN}}\" }}\n\
         [upstreams.demo]\ncommand = [{program:?}, \"__demo-server\"]\n\
         [upstreams.env]\ncommand = [\"sh\", \"-c\", \"read -r l; echo \\\"{{\\\\\\\"id\\\\\\\":0,\\\\\\\"result\\\\\\\":{{\\\\\\\"v\\\\\\\":\\\\\\\"$MINE\\\\\\\"}}}}\\\"; cat\"]\nenv = {{ MINE = \"its ${{WEB_TOKEN}}\" }}\n",
        server.url()
    );
    let place = Place::new(&text, "");
    let mut tapline = place.command();
    tapline.env("WEB_TOKEN", "s3cret");
    let url = server.url();
    let binary = Binary::run_as(tapline, &["--upstream", &url, "--header", "x-mine: s3cret"]).await;
    assert!(binary.greeting.ends_with("/mcp -> 4 upstreams: the default, web, demo, env"), "{}", binary.greeting);

    let mut client = binary.client().await;
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!((exchange.head.get("x-mine"), exchange.head.get("authorization")), (Some("s3cret"), None));
    exchange.json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).await;
    assert_eq!(client.response().await.status(), "200");

    client.mount = "/web".to_owned();
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.all("authorization"), ["Bearer s3cret"]);
    exchange.json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).await;
    assert_eq!(client.response().await.status(), "200");

    client.mount = "/demo".to_owned();
    assert_eq!(client.initialize().await.json()["result"]["serverInfo"]["name"], "tapline-demo");
    let mut old = LegacySseClient::open_at(binary.address(), "/demo/sse", "").await;
    old.post(INITIALIZE).await;
    assert_eq!(old.message().await["id"], 0);

    let mut other = binary.client().await;
    other.mount = "/env".to_owned();
    assert_eq!(other.initialize().await.json()["result"]["v"], "its s3cret");

    binary.signal("TERM");
    let (_, lines, stdout) = binary.end().await;
    assert!(lines.iter().any(|line| line.contains("opened: web, http://")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("settings are from tapline.toml")), "{lines:?}");
    assert!(!lines.concat().contains("s3cret") && stdout.is_empty(), "a secret is shown nowhere: {lines:?}");
}

#[test]
fn stdio_serves_the_chosen_upstream() {
    let program = crate::support::tapline_binary();
    let place = Place::new(
        &format!(
            "record = false\n[upstreams.b]\nurl = \"http://127.0.0.1:1/\"\n[upstreams.a]\ncommand = [{program:?}, \"__demo-server\"]\n"
        ),
        "",
    );
    let of_two = ["stdio", "--config", "tapline.toml", "--upstream", "a"];
    for arguments in [&of_two[..], &["stdio", "--config", "one.toml"]] {
        fs::write(
            place.path().join("here/one.toml"),
            format!("record = false\nupstreams.a.command = [{program:?}, \"__demo-server\"]"),
        )
        .unwrap();
        let mut tapline = assert_cmd::Command::from_std(place.command());
        let assert = tapline.args(arguments).write_stdin(format!("{INITIALIZE}\n")).assert();
        let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(stdout.contains("\"tapline-demo\"") && stdout.lines().count() == 1, "{arguments:?}: {stdout}");
    }
}

/// An editor that opens somebody's repository must not start what its settings name.
#[test]
fn stdio_ignores_settings_of_the_working_directory() {
    let place = Place::new("record = false\nname = 1\n", "");
    let (status, stdout, stderr) = place.end(&["stdio", "--no-record", "--", "true"]);
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, "", ""));
}

/// What `run` records in a directory is found there. What nobody named is not removed for the sake of a file that may be anybody's.
#[test]
fn tapes_of_the_working_directory_are_read_and_not_cleared() {
    let place = Place::new("tapes = \"kept\"\nlog_file = \"log\"\n", "tapes = \"~/own\"\n");
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    for (dir, name) in [("here/kept", "near-4f1c.tape.jsonl"), ("home/own", "far-9a07.tape.jsonl")] {
        fs::create_dir(place.path().join(dir)).unwrap();
        fs::copy(demo, place.path().join(dir).join(name)).unwrap();
    }
    for arguments in [&["tape", "ls"][..], &["tape", "show", "4f1c"], &["search", "~all"]] {
        let (status, stdout, stderr) = place.end(arguments);
        assert!(status == 0 && stdout.contains("4f1c") && !stdout.contains("9a07"), "{arguments:?}: {stdout}{stderr}");
    }
    assert!(!place.path().join("here/log").exists(), "nothing else of the file is theirs");
    let cleared = |arguments: &[&str]| {
        let (status, stdout, stderr) = place.end(&[&["tape", "rm", "--over", "0"], arguments].concat());
        (status, stdout + &stderr)
    };
    let (status, said) = cleared(&[]);
    assert!(status == 2 && said.contains("`--tapes kept` says so, too"), "{said}");
    assert_eq!(cleared(&["--tapes", "kept"]), (0, "removed near-4f1c\n".to_owned()));
    fs::write(place.path().join("here/tapline.toml"), "tapes = ").unwrap();
    let (status, stdout, _) = place.end(&["tape", "ls", "--tapes", "../home/own"]);
    assert!(status == 0 && stdout.contains("9a07"), "where another is said, the file is not asked: {stdout}");
    fs::remove_file(place.path().join("here/tapline.toml")).unwrap();
    assert_eq!(cleared(&[]), (0, "removed far-9a07\n".to_owned()));
}

/// What is broken in a file matters to what asks that of it.
#[test]
fn tape_that_is_given_by_its_path_needs_no_file_of_the_directory() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    let place = Place::new("tapes = ", "tapes = \"~/own\"\n");
    for text in ["tapes = ", "tapes = 7", "tapes = \"kept\"\nnaem = \"x\"\n[pool]\nmaxx = 1"] {
        fs::write(place.path().join("here/tapline.toml"), text).unwrap();
        for arguments in
            [&["tape", "show", demo][..], &["search", "~all", demo], &["tape", "export", demo, "--format", "har"]]
        {
            let (status, _, stderr) = place.end(arguments);
            assert_eq!((status, stderr.as_str()), (0, ""), "{text}: {arguments:?}");
        }
    }
    fs::write(place.path().join("here/tapline.toml"), "tapes = 7").unwrap();
    for arguments in
        [&["tape", "ls"][..], &["tape", "show", "4f1c"], &["tape", "rm", "--over", "0"], &["search", "~all"]]
    {
        let (status, _, stderr) = place.end(arguments);
        assert!(status == 2 && stderr.starts_with("tapline: tapline.toml:1:9: "), "{arguments:?}: {stderr}");
    }
}

#[test]
fn config_of_the_variable_is_heard_by_all_that_read_one() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    let place = Place::new("", "");
    fs::create_dir(place.path().join("here/kept")).unwrap();
    fs::copy(demo, place.path().join("here/kept/near-4f1c.tape.jsonl")).unwrap();
    let with = |text: &str, arguments: &[&str]| {
        fs::write(place.path().join("here/other.toml"), text).unwrap();
        end(place.command().env("TAPLINE_CONFIG", "other.toml").args(arguments))
    };
    for arguments in [&["tape", "ls"][..], &["tape", "show", "4f1c"], &["search", "~all"], &["lint", "4f1c"]] {
        let (status, stdout, stderr) = with("tapes = \"kept\"", arguments);
        let is_read = ["4f1c", "get_forecast", "in 45 messages"].iter().any(|it| stdout.contains(it));
        assert!(status < 2 && is_read, "{arguments:?}: {stdout}{stderr}");
    }
    let (_, stdout, stderr) = with("tapes = \"kept\"", &["doctor"]);
    assert!(stdout.contains("other.toml") && stdout.contains("1 in kept, "), "{stdout}{stderr}");
    for arguments in [
        &["tape", "ls"][..],
        &["tape", "ls", "--tapes", "kept"],
        &["search", "~all"],
        &["lint", demo],
        &["sessions", "ls"],
        &["attach"],
        &["replay", demo, "--", "cat"],
        &["tape", "minimise", demo, "--crashes", "--", "cat"],
        &["check"],
    ] {
        let (status, _, stderr) = with("naem = 1", arguments);
        assert!(status == 2 && stderr.starts_with("tapline: other.toml:1:1: "), "{arguments:?}: {stderr}");
    }
}

#[test]
fn check_summarises_the_configuration() {
    let text = "listen = \"127.0.0.1:0\"\nrecord = false\nhold = \"~m tools/call\"\ndefault = \"a\"\nbell = true\n\
                patience = { claude-code = \"5m\" }\n\
                [upstreams.a]\ncommand = [\"sh\", \"--token\", \"s3cret\"]\n\
                [upstreams.b]\nurl = \"https://me:s3cret@example.com/sse?key=s3cret\"\nheaders = { x-key = \"${HOME}s3cret\" }\n";
    let place = Place::new(text, "name = \"far\"");
    let (status, stdout, stderr) = place.end(&["check"]);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    let user = place.path().join("home/.config/tapline/config.toml").display().to_string();
    let told: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        told,
        [
            vec!["read", "tapline.toml"],
            vec!["read", &user],
            vec!["listens", "on", "127.0.0.1:0"],
            vec!["/mcp,", "/a/mcp", "sh", "--token", "[redacted]"],
            vec!["/b/mcp", "https://[redacted]@example.com/sse?key=[redacted]", "over", "HTTP+SSE,", "with", "x-key"],
            vec!["records", "to", "nothing"],
            vec!["holds", "~m", "tools/call"],
            vec!["patience", "claude-code", "waits", "5m00s", "for", "a", "reply"],
            vec!["bell", "rings", "when", "a", "client", "is", "about", "to", "give", "up", "what", "is", "held"],
        ]
    );
    fs::write(place.path().join("here/other.toml"), "record = true\ntapes = \"~/t\"").unwrap();
    let (status, stdout, _) = place.end(&["check", "other.toml"]);
    assert_eq!((status, stdout.contains(&format!("{}/home/t\n", place.path().display()))), (0, true), "{stdout}");
    let (status, stdout, stderr) = Place::new("", "").end(&["check"]);
    assert_eq!(
        (status, stdout.as_str(), stderr.contains("nothing to check: there is no tapline.toml here, nor /")),
        (2, "", true)
    );
}

#[test]
fn check_finds_missing_programs_and_directories() {
    let place = Place::new(
        "log_file = \"no/such/log\"\n[upstreams.a]\ncommand = [\"no-such-program\"]\n[upstreams.b]\ncommand = [\"./neither\"]",
        "",
    );
    let (status, stdout, stderr) = place.end(&["check"]);
    assert_eq!((status, stdout.as_str()), (2, ""));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "tapline: upstream `a`: there is no program `no-such-program`",
            "tapline: upstream `b`: there is no program `./neither`",
            "tapline: `log_file`: there is no directory no/such",
        ]
    );
}

#[test]
fn check_warns_of_readable_secrets() {
    for (section, name) in [("upstreams.a", "a"), ("shadow", "[shadow]"), ("otlp", "[otlp]")] {
        let place_of_it = if section == "otlp" { "" } else { "url = \"http://127.0.0.1:1/\"\n" };
        let text =
            format!("record = false\n[{section}]\n{place_of_it}headers = {{ authorization = \"Bearer s3cret\" }}");
        let place = Place::new(&text, "");
        let file = place.path().join("here/tapline.toml");
        for (mode, is_warned) in [(0o644, true), (0o600, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let (status, stdout, stderr) = place.end(&["check"]);
            assert_eq!((status, stderr.contains("`chmod 600 tapline.toml`")), (0, is_warned), "{stderr}");
            assert_eq!(stderr.contains(&format!("a secret of `{name}`")), is_warned, "{stderr}");
            assert!(!stdout.contains("s3cret") && !stderr.contains("s3cret"));
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&file, text.replace("s3cret", "${HOME}")).unwrap();
        assert_eq!(place.end(&["check"]).2, "", "what is in the environment is in nobody's file");
    }
}

#[test]
fn sample_has_every_key_and_is_valid() {
    let sample = include_str!("../../assets/tapline.toml");
    let place = Place::new("", "");
    let without = place.path().join("here/sample.toml");
    fs::write(&without, sample).unwrap();
    assert_eq!(place.end(&["check", "sample.toml"]).0, 0, "as it is, it says nothing");

    let live = |line: &&str| !line.starts_with("##");
    let text: String = sample.lines().filter(live).map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    fs::write(&without, text).unwrap();
    fs::write(place.path().join("npx"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(place.path().join("npx"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut tapline = place.command();
    tapline
        .env("PATH", place.path())
        .env("FILES_TOKEN", "x")
        .env("WEATHER_KEY", "x")
        .env("ROBOT_TOKEN", "x")
        .env("SHADOW_TOKEN", "x")
        .env("OTLP_KEY", "x");
    let (status, _, stderr) = end(tapline.args(["check", "sample.toml"]));
    assert_eq!((status, stderr.as_str()), (0, ""));

    // What is known is what serde says where it does not know a key.
    for header in [
        "",
        "[upstreams.a]\n",
        "[auth]\n",
        "[auth.jwt]\n",
        "[pool]\n",
        "[[limits]]\n",
        "[retry]\n",
        "[sessions]\n",
        "[shadow]\n",
        "[otlp]\n",
    ] {
        fs::write(&without, format!("{header}qqqqqqqq = 1")).unwrap();
        has_all_known(sample, &place.end(&["check", "sample.toml"]).2);
    }
}

/// Whether the sample has the keys that an error says are known.
fn has_all_known(sample: &str, stderr: &str) {
    let known = stderr.lines().next().unwrap().split("known here: ").nth(1).expect(stderr);
    let known: Vec<_> = known.split(", ").map(|key| key.trim_matches('`')).collect();
    assert!(known.len() > 1, "{known:?}");
    for key in known {
        let is_there = |line: &str| {
            line.starts_with(&format!("# {key} = "))
                || line.starts_with(&format!("# [{key}"))
                || line.starts_with(&format!("# [[{key}"))
                || line.starts_with("# [") && line.ends_with(&format!(".{key}]"))
        };
        assert!(sample.lines().any(is_there), "the sample has no `{key}`");
    }
}
