//! What is a secret stands nowhere: in no error of arguments or files, no log, tape, database, registry or process list.

use std::fs;
use std::path::Path;

use assert_cmd::assert::OutputAssertExt as _;
use tapline::control::registry::Registry;
use tapline::event::OnQuit;
use tempfile::TempDir;

use crate::support::binary::command;
use crate::support::terminal::Terminal;
use crate::support::{Binary, INITIALIZE, Rig, Server};

const SECRET: &str = "0UR-OWN-KEY";

/// Runs to the end; gives status and everything that was said.
fn said(arguments: &[&str]) -> (i32, String) {
    let assert = command().args(arguments).assert();
    let output = assert.get_output();
    let text = [&*output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn errors_about_arguments_show_no_secret() {
    for (arguments, expected) in [
        (&["--header", "Bearer 0UR-OWN-KEY", "--upstream", "http://x"][..], "invalid value '[redacted]' for '--header"),
        (&["--header", "Bearer 0UR-OWN-KEY: x", "--upstream", "http://x"], "is not a header name"),
        (
            &["--header", "x: ${NO_SUCH_0UR}", "--upstream", "http://x"],
            "the environment variable `NO_SUCH_0UR` is not set",
        ),
        (&["--shadow-header", "0UR-OWN-KEY", "--", "x"], "invalid value '[redacted]' for '--shadow-header"),
        (&["--upstream", "ht!tp://u:0UR-OWN-KEY@h/mcp"], "`ht!tp://[redacted]@h/mcp` is not a URL"),
        (&["--upstream", "ftp://u:0UR-OWN-KEY@h/mcp"], "`ftp://[redacted]@h/mcp`: only http"),
        (&["--upstream", "http://h:x/mcp?apiKey=0UR-OWN-KEY"], "`http://h:x/mcp?apiKey=[redacted]` is not a URL"),
        (&["--upstream", "u:0UR-OWN-KEY@h/mcp"], "`[redacted]@h/mcp`: only http"),
        (&["--otlp", "ht!tp://u:0UR-OWN-KEY@h", "--", "x"], "`ht!tp://[redacted]@h` is not the URL of a collector"),
        (&["--otlp", "ftp://h/?k=0UR-OWN-KEY", "--", "x"], "`ftp://h/?k=[redacted]` is not the URL of a collector"),
        (&["--shadow", "http://u:0UR-OWN-KEY@h:x/", "--", "x"], "`http://[redacted]@h:x/` is not a URL"),
        (&["server", "--api-key=0UR-OWN-KEY"], "there is no program `server` on `PATH`"),
        (&["server", "0UR-OWN-KEY", "--name=0UR-OWN-KEY"], "after `server` may be for tapline or for the command"),
        (&["--api-key=0UR-OWN-KEY", "--", "x"], "unexpected argument '--api-key'"),
        (&["--listen=http://u:0UR-OWN-KEY@h", "--", "x"], "invalid value 'http://[redacted]@h'"),
    ] {
        let (status, text) = said(&[&["run", "--headless", "--no-record"], arguments].concat());
        assert_eq!(status, 2, "{arguments:?} {text}");
        assert!(text.contains(expected), "{arguments:?} {text}");
        assert!(!text.contains(SECRET), "{arguments:?} {text}");
    }
}

#[test]
fn attach_to_what_does_not_run_shows_no_secret() {
    let (_, text) = said(&["attach", "http://u:0UR-OWN-KEY@h:1/?token=0UR-OWN-KEY"]);
    assert!(text.contains("no tapline `http://[redacted]@h:1/?token=[redacted]` runs"), "{text}");
}

#[test]
fn errors_about_files_show_no_secret() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.toml");
    for (text, expected) in [
        ("[upstreams.a]\nurl = \"ht!tp://u:0UR-OWN-KEY@h\"", "is not a URL"),
        ("[upstreams.a]\nurl = \"ftp://h/?key=0UR-OWN-KEY\"", "only http and https"),
        ("[upstreams.a]\nurl = \"http://u:0UR-OWN-KEY@h\"\nstateless = true", "`stateless` is for a `command`"),
        ("[upstreams.a]\ncommand = [\"x\", \"--api-key\", \"0UR-OWN-KEY\"]\nurl = \"http://h\"", "this has both"),
        ("[upstreams.a]\ncommand = \"x --api-key 0UR-OWN-KEY\"", "must be a"),
        ("[auth.jwt]\nissuer = \"https://i\"\naudience = \"a\"\njwks = \"ht!tp://u:0UR-OWN-KEY@h/\"", "t.toml:4"),
        ("[auth]\ntokens = []\nresource = \"http://u:0UR-OWN-KEY@h:x/\"", "is not a URL"),
        ("[auth]\ntokens = []\nresource = \"http://h/?k=0UR-OWN-KEY#f\"", "must not have a fragment"),
        (
            "[otlp]\nendpoint = \"ftp://u:0UR-OWN-KEY@h\"\n[upstreams.a]\nurl = \"http://h\"",
            "is not the URL of a collector",
        ),
        ("[shadow]\nurl = \"ht!tp://u:0UR-OWN-KEY@h\"\n[upstreams.a]\nurl = \"http://h\"", "invalid shadow URL"),
    ] {
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let (status, told) = said(&["run", "--headless", "--no-record", "--listen", "127.0.0.1:0", "--config", file]);
        assert!(status == 2 && told.contains(expected), "{text}\n{told}");
        assert!(!told.contains(SECRET), "{text}\n{told}");
        assert!(!said(&["check", file]).1.contains(SECRET), "{text}");
    }
}

#[tokio::test]
async fn header_option_takes_variables_and_files() {
    let (mut server, dir) = (Server::start().await, TempDir::new().unwrap());
    let file = dir.path().join("headers");
    fs::write(&file, "# for the server\n\nx-from-file: file 0UR-OWN-KEY \nx-both: ${OUR_TOKEN}\n").unwrap();
    let mut command = command();
    command.env("OUR_TOKEN", SECRET);
    let options = ["--header", "authorization: Bearer ${OUR_TOKEN}", "--header-file", file.to_str().unwrap()];
    let binary = Binary::run_as(command, &[&["--no-record", "--upstream", &server.url()], &options[..]].concat()).await;
    let mut client = binary.client().await;
    client.post(INITIALIZE).await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.all("authorization"), ["Bearer 0UR-OWN-KEY"]);
    assert_eq!(exchange.head.all("x-from-file"), ["file 0UR-OWN-KEY"]);
    assert_eq!(exchange.head.all("x-both"), [SECRET]);
    if let Ok(words) = fs::read(format!("/proc/{}/cmdline", binary.process())) {
        assert!(!String::from_utf8_lossy(&words).contains(SECRET), "the process list does not show it");
    }
    exchange.json("{}").await;
    drop(client.response().await);

    fs::write(&file, "x-fine: 1\n0UR-OWN-KEY\n").unwrap();
    let options =
        ["run", "--headless", "--no-record", "--upstream", "http://x", "--header-file", file.to_str().unwrap()];
    let (status, text) = said(&options);
    assert!(status == 2 && text.contains("line 2: a header reads `name: value`"), "{text}");
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains(&format!("invalid value '{}' for '--header-file", file.display())), "{text}");
    let (status, text) = said(&[&options[..6], &["/no/such/file"]].concat());
    assert!(status == 2 && text.contains("'/no/such/file'") && text.contains("No such file"), "{text}");
    // What was meant for `--header`.
    let (status, text) = said(&[&options[..6], &["x-key: 0UR-OWN-KEY"]].concat());
    assert!(status == 2 && text.contains("invalid value '[redacted]' for '--header-file"), "{text}");
}

#[tokio::test]
async fn header_file_may_be_of_another_system() {
    let (mut server, dir) = (Server::start().await, TempDir::new().unwrap());
    let file = dir.path().join("headers");
    fs::write(&file, "\u{feff}x-first: 1\r\n\r\n# a word\r\nx-second: 2 2\r\n").unwrap();
    let options = ["--no-record", "--upstream", &server.url(), "--header-file", file.to_str().unwrap()];
    let binary = Binary::run(&options).await;
    let mut client = binary.client().await;
    client.post(INITIALIZE).await;
    let exchange = server.next().await;
    assert_eq!([exchange.head.all("x-first"), exchange.head.all("x-second")], [["1"], ["2 2"]]);
    exchange.json("{}").await;
    drop(client.response().await);
}

/// Every file below a directory, as text.
fn texts(dir: &Path) -> Vec<(std::path::PathBuf, String)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => texts(&path),
            false => vec![(path.clone(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned())],
        })
        .collect()
}

/// A server that failed has its client told, and leaves a log, a tape, a database and a registry entry.
async fn fails_and_tells_nothing(target: &[&str], shown: &str) {
    let dir = TempDir::new().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut command = command();
    command.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", place("run"));
    command.env_remove("TAPLINE_NO_DATABASE").env("XDG_DATA_HOME", place("data"));
    let (log, tapes) = (place("t.log"), place("tapes"));
    let options = ["--log-file", &log, "--log", "trace", "--tapes", &tapes, "--log-format", "json"];
    let binary = Binary::run_as(command, &[&options, target].concat()).await;
    let mut told = binary.greeting.clone();
    let mut client = binary.client().await;
    for _ in 0..2 {
        let response = client.call(INITIALIZE).await;
        assert!(response.text().contains(shown), "{response:?}");
        told += &format!("{response:?}{}", response.text());
    }
    let entry = Registry::at(place("run")).list().into_iter().next().expect("it is published");
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = serde_json::to_value(&entry.token).unwrap();
    let metrics = metrics.get(format!("http://{}/metrics", entry.control)).bearer_auth(token.as_str().unwrap());
    let metrics = metrics.send().await.unwrap();
    assert!(metrics.status().is_success());
    told += &metrics.text().await.unwrap();
    let files = texts(dir.path());
    binary.signal("TERM");
    told += &binary.end().await.1.concat();
    for (path, text) in files.into_iter().chain(texts(dir.path())) {
        assert!(!text.contains(SECRET), "{}: {text}", path.display());
    }
    assert!(!told.contains(SECRET), "{told}");
    let ends = texts(dir.path()).into_iter().map(|(path, _)| path.to_string_lossy().into_owned());
    let ends: Vec<_> = ends.collect();
    for end in ["t.log", ".tape.jsonl", "sessions.db"] {
        assert!(ends.iter().any(|path| path.ends_with(end)), "{end} is there: {ends:?}");
    }
}

#[tokio::test]
async fn failing_server_leaves_its_key_nowhere() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let url = "http://127.0.0.1:1/mcp?apiKey=0UR-OWN-KEY";
    fails_and_tells_nothing(&["--upstream", url], "http://127.0.0.1:1/mcp?apiKey=[redacted]").await;
    let url = "http://user:0UR-OWN-KEY@127.0.0.1:1/mcp";
    fails_and_tells_nothing(&["--upstream", url], "http://[redacted]@127.0.0.1:1/mcp").await;
    // It says its own arguments when it fails, as many do.
    let words = ["--", "sh", "-c", "echo \"usage: $0 $*\" >&2; exit 3", "server", "--api-key", SECRET];
    fails_and_tells_nothing(&words, "server --api-key [redacted]").await;
}

#[test]
fn screen_shows_no_key() {
    let url = "http://user:0UR-OWN-KEY@127.0.0.1:1/mcp?apiKey=0UR-OWN-KEY";
    let terminal = Terminal::start(&["run", "--no-record", "--listen", "127.0.0.1:0", "--upstream", url]);
    let text =
        terminal.wait("the upstream", |screen| Some(screen.contents()).filter(|text| text.contains("127.0.0.1:1/mcp")));
    assert!(!text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn secret_headers_are_masked_on_tapes_and_screens() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    let names = [
        "authorization",
        "apikey",
        "x-functions-key",
        "ocp-apim-subscription-key",
        "x-access-key",
        "x-signature",
        "x-session-id",
        "cookie",
        "x-goog-api-key",
        "dpop",
    ];
    client.headers = names.map(|name| format!("{name}: {SECRET}\r\n")).concat();
    client.post(INITIALIZE).await;
    let exchange = server.next().await;
    for name in names {
        assert_eq!(exchange.head.get(name), Some(SECRET), "the server gets it");
    }
    exchange.json("{}").await;
    drop(client.response().await);
    let told = serde_json::to_string(&rig.quit(OnQuit::Forward).await).unwrap();
    assert!(!told.contains(SECRET), "{told}");
}
