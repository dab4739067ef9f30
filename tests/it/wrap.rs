//! `tapline wrap` and `unwrap` with the real binary, in a home directory of the test's own.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::{Value, json};
use tapline::wrap::backup::BackupStore;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::support::{Server, soon, tapline_binary};

const CURSOR: &str = "\u{feff}// mine\r\n{\r\n\t\"mcpServers\": {\r\n\t\t\"fs\": {\"command\": \"npx\", \"args\": [\"-y\", \"fs\"],}, // keep\r\n\t\t\"web\": {\"url\": \"http://127.0.0.1:9/mcp\"},\r\n\t},\r\n}";

const CODEX: &str = "# mine\nmodel = 'o'\n[mcp_servers.git] # vcs\ncommand = 'uvx'\n";

/// A home directory with a project in it.
struct Home {
    dir: TempDir,
}

/// What a run of tapline came to.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("project/.git")).unwrap();
        Self { dir }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// Runs tapline in the project, without a terminal.
    #[track_caller]
    fn run(&self, arguments: &[&str], status: i32) -> Ran {
        let mut command = Command::new(tapline_binary());
        command.args(arguments).current_dir(self.path("project")).env_clear();
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
        assert_eq!(ran.status, status, "{arguments:?}\n{}\n{}", ran.out, ran.err);
        assert!(!ran.out.contains('\x1b'), "{}", ran.out);
        ran
    }

    fn environment(&self) -> [(&str, PathBuf); 3] {
        [("HOME", self.path("")), ("XDG_DATA_HOME", self.path("data")), ("XDG_CONFIG_HOME", self.path("config"))]
    }

    /// Runs tapline on a terminal and types an answer.
    fn answer(&self, arguments: &[&str], answer: &str) -> (u32, String) {
        self.answer_with(arguments, answer, "")
    }

    fn answer_with(&self, arguments: &[&str], answer: &str, no_color: &str) -> (u32, String) {
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(tapline_binary());
        command.args(arguments);
        command.cwd(self.path("project"));
        command.env_clear();
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.env("NO_COLOR", no_color);
        command.env("TERM", "xterm");
        let mut child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut keys = pair.master.take_writer().unwrap();
        // The terminal keeps it until it is asked for.
        keys.write_all(answer.as_bytes()).unwrap();
        let mut seen = Vec::new();
        // The end of a terminal is an error on some systems.
        drop(pair.master.try_clone_reader().unwrap().read_to_end(&mut seen));
        (child.wait().unwrap().exit_code(), String::from_utf8_lossy(&seen).into_owned())
    }

    /// How many files are kept as backups.
    fn backups(&self) -> usize {
        std::fs::read_dir(self.path("data/tapline/wrapped")).map_or(0, Iterator::count)
    }
}

fn binary() -> String {
    tapline_binary().canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn wrap_and_unwrap_restore_every_byte() {
    let home = Home::new();
    let file = home.write(".cursor/mcp.json", CURSOR);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();

    let shown = home.run(&["wrap", "cursor", "--dry-run"], 0);
    assert!(shown.out.contains("-\t\t\"fs\": {\"command\": \"npx\""), "{}", shown.out);
    assert!(shown.out.contains("`web` is remote; `--remote` routes it too"), "{}", shown.out);
    assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
    assert_eq!(home.backups(), 0);

    let wrapped = home.run(&["wrap", "cursor", "--yes"], 0);
    assert!(wrapped.out.contains("wrapped `fs`") && wrapped.out.contains("restart cursor"), "{}", wrapped.out);
    let expected = CURSOR
        .replace("\"npx\"", &format!("\"{}\"", binary()))
        .replace("[\"-y\"", "[\"stdio\", \"--name=fs\", \"--\", \"npx\", \"-y\"");
    assert_eq!(home.read(".cursor/mcp.json"), expected);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(home.backups(), 2);
    for kept in std::fs::read_dir(home.path("data/tapline/wrapped")).unwrap() {
        assert_eq!(kept.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    // Again is nothing; more servers are added to what is wrapped already.
    assert!(home.run(&["wrap", "cursor", "--yes"], 0).out.contains("nothing to do"));
    home.run(&["wrap", "cursor", "--yes", "--remote"], 0);
    assert!(
        home.read(".cursor/mcp.json")
            .contains("[\"stdio\", \"--name=web\", \"--upstream\", \"http://127.0.0.1:9/mcp\"]")
    );

    let unwrapped = home.run(&["unwrap", "cursor", "--yes"], 0);
    assert!(unwrapped.out.contains("unwrapped `fs`, `web`"), "{}", unwrapped.out);
    assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
    assert_eq!(home.backups(), 0);
    assert!(home.run(&["unwrap", "cursor", "--yes"], 0).out.contains("nothing to do"));
    assert!(home.run(&["unwrap", "--yes"], 0).out.contains("nothing is wrapped"));
}

#[test]
fn unwrap_keeps_edits_made_meanwhile() {
    let home = Home::new();
    home.write(".cursor/mcp.json", CURSOR);
    home.run(&["wrap", "cursor", "--yes", "--remote"], 0);
    let edited = home.read(".cursor/mcp.json").replace("// mine", "// ours").replace("\"fs\"],", "\"fs\", \"/more\"],");
    home.write(".cursor/mcp.json", &edited);
    // A server more, wrapped on top of the edit.
    let more = edited.replace("\"web\":", "\"new\": {\"command\": \"n\"}, \"web\":");
    home.write(".cursor/mcp.json", &more);
    home.run(&["wrap", "cursor", "--yes", "--server", "new"], 0);
    home.run(&["unwrap", "cursor", "--yes"], 0);
    let expected = CURSOR
        .replace("// mine", "// ours")
        .replace("\"fs\"],", "\"fs\", \"/more\"],")
        .replace("\"web\":", "\"new\": {\"command\": \"n\"}, \"web\":");
    assert_eq!(home.read(".cursor/mcp.json"), expected);
}

#[test]
fn server_option_wraps_one_at_a_time() {
    let home = Home::new();
    let text = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#;
    home.write("project/.mcp.json", text);
    home.run(&["wrap", "claude-code", "--yes", "--server", "a", "--server", "b"], 0);
    home.run(&["unwrap", "claude-code", "--yes", "--server", "a"], 0);
    let list = home.run(&["wrap"], 0).out;
    assert!(list.contains("  a  x\n") && list.contains("  b  wrapped: y\n"), "{list}");
    home.run(&["unwrap", "./.mcp.json", "--yes", "--server", "b"], 0);
    assert_eq!(home.read("project/.mcp.json"), text);
    assert_eq!(home.backups(), 0);
}

#[test]
fn unwrap_without_a_name_restores_all() {
    let home = Home::new();
    home.write(".codex/config.toml", CODEX);
    home.write("config/zed/settings.json", r#"{"context_servers": {"a": {"command": {"path": "x", "args": []}}}}"#);
    let other = home.write("project/other.json", r#"{"mcpServers": {"o": {"command": "x"}}}"#);
    home.run(&["wrap", "codex", "-y"], 0);
    assert!(
        home.read(".codex/config.toml").contains("args = [\"stdio\", \"--name=git\", \"--\", 'uvx']\ncommand = \"/")
    );
    home.run(&["wrap", "zed", "-y", "--tapline", "tap"], 0);
    assert!(
        home.read("config/zed/settings.json").contains(r#"{"path": "tap", "args": ["stdio", "--name=a", "--", "x"]}"#)
    );
    // Another name for tapline is known from the record.
    assert!(home.run(&["wrap", "zed", "-y"], 0).out.contains("nothing to do"));
    home.run(&["wrap", "other.json", "-y"], 0);
    std::fs::remove_file(&other).unwrap();
    let unwrapped = home.run(&["unwrap", "-y"], 0).out;
    assert_eq!(home.read(".codex/config.toml"), CODEX);
    assert!(home.read("config/zed/settings.json").contains(r#"{"path": "x", "args": []}"#));
    assert!(unwrapped.contains("~/project/other.json is gone; what it was is kept as"), "{unwrapped}");
}

#[test]
fn symlink_stays_a_symlink() {
    let home = Home::new();
    home.write("dotfiles/mcp.json", CURSOR);
    for dir in [".cursor", "project/.cursor"] {
        std::fs::create_dir_all(home.path(dir)).unwrap();
        std::os::unix::fs::symlink(home.path("dotfiles/mcp.json"), home.path(dir).join("mcp.json")).unwrap();
    }
    home.run(&["wrap", "cursor", "-y"], 0);
    assert!(home.path(".cursor/mcp.json").symlink_metadata().unwrap().is_symlink());
    assert!(home.read("dotfiles/mcp.json").contains("stdio"));
    home.run(&["unwrap", "-y"], 0);
    assert_eq!(home.read("dotfiles/mcp.json"), CURSOR);
}

#[test]
fn write_needs_consent() {
    let home = Home::new();
    home.write(".cursor/mcp.json", CURSOR);
    let refused = home.run(&["wrap", "cursor"], 1);
    assert!(refused.out.contains("+++ ~/.cursor/mcp.json"), "{}", refused.out);
    assert!(refused.err.contains("no terminal to ask on; `--yes` writes without asking"), "{}", refused.err);
    for (answer, status) in [("\n", 1), ("n\n", 1), ("\x04", 1)] {
        let (code, seen) = home.answer(&["wrap", "cursor"], answer);
        assert_eq!(code, status, "{seen}");
        assert!(
            seen.contains("write this to ~/.cursor/mcp.json? [y/N]") && seen.contains("nothing was written"),
            "{seen}"
        );
        assert!(seen.contains("\x1b[32m+"), "{seen}");
        assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
    }
    let (_, seen) = home.answer_with(&["wrap", "cursor"], "n\n", "1");
    assert!(!seen.contains('\x1b') && seen.contains("+++ ~/.cursor/mcp.json"), "{seen}");
    let (code, seen) = home.answer(&["wrap", "cursor"], "y\n");
    assert_eq!(code, 0, "{seen}");
    assert!(home.read(".cursor/mcp.json").contains("stdio"));
    assert!(home.run(&["unwrap"], 1).err.contains("no terminal"));
    let (code, seen) = home.answer(&["unwrap"], "YES\n");
    assert_eq!(code, 0, "{seen}");
    assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
}

#[test]
fn unreadable_file_is_left_untouched() {
    let home = Home::new();
    for (file, bytes, place) in [
        (
            "a.json",
            &b"{\n  \"mcpServers\": {\n    \"a\": {\"command\": \"x\" \"args\": []}\n  }\n}"[..],
            "line 3, column 25",
        ),
        ("b.toml", b"[mcp_servers.a]\ncommand = \n", "line 2, column 11"),
        ("c.json", b"{\n\"\xff\"}", "line 2, column 2"),
    ] {
        let path = home.path("project").join(file);
        std::fs::write(&path, bytes).unwrap();
        for command in ["wrap", "unwrap"] {
            let ran = home.run(&[command, file, "--yes"], 2);
            assert!(ran.err.contains(place) && ran.err.contains("nothing was changed"), "{}", ran.err);
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
    // What was wrapped and then broken is still kept.
    home.write("project/kept.json", r#"{"mcpServers": {"a": {"command": "x"}}}"#);
    home.run(&["wrap", "kept.json", "-y"], 0);
    home.write("project/kept.json", "{");
    let ran = home.run(&["unwrap", "kept.json", "-y"], 2);
    assert!(ran.out.contains("the file before `wrap` is kept as ~/data/tapline/wrapped/kept.json-"), "{}", ran.out);
    home.write("project/kept.json", "{}");
    let ran = home.run(&["unwrap", "kept.json", "-y"], 0);
    assert!(ran.out.contains("no servers in") && ran.out.contains("is kept as"), "{}", ran.out);
    // The other files of a client are done all the same.
    home.write(".cursor/mcp.json", "{");
    home.write("project/.cursor/mcp.json", CURSOR);
    let ran = home.run(&["wrap", "cursor", "--yes"], 2);
    assert!(ran.out.contains("restart cursor"), "{}", ran.out);
    assert_eq!(home.read(".cursor/mcp.json"), "{");
    assert!(home.read("project/.cursor/mcp.json").contains("stdio"));
    assert!(home.run(&["wrap"], 0).out.contains("cannot be read: line 1, column 1"));
}

#[test]
fn mistakes_come_with_a_suggestion() {
    let home = Home::new();
    home.write(".cursor/mcp.json", CURSOR);
    home.write("project/empty.json", "{}");
    std::os::unix::fs::symlink("loop.json", home.path("project/loop.json")).unwrap();
    for (arguments, status, said) in [
        (&["wrap", "curser", "-y"][..], 2, "did you mean `cursor`?"),
        (&["unwrap", "zedd"], 2, "did you mean `zed`?"),
        (&["wrap", "./none.json", "-y"], 2, "there is no file `./none.json`"),
        (&["wrap", ".", "-y"], 2, "`.` is not a file"),
        // As any other file that cannot be read.
        (&["wrap", "./loop.json", "-y"], 2, "cannot find `./loop.json`"),
        (&["wrap", "cursor", "--server", "fz"], 2, "no server is called `fz`; did you mean `fs`?"),
        (&["wrap", "nosuch"], 2, "there are claude-desktop, claude-code"),
        (&["wrap", "windsurf"], 2, "found no configuration of `windsurf` at ~/.codeium/windsurf/mcp_config.json"),
        (&["wrap", "empty.json"], 0, "no servers in"),
        (&["wrap", "cursor", "--headers"], 2, "--remote"),
        (&["wrap", "--server", "fs"], 2, "CLIENT|FILE"),
        (&["wrap", "cursor", "-y", "--dry-run"], 2, "cannot be used with"),
    ] {
        let ran = home.run(arguments, status);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{arguments:?}: {}{}", ran.out, ran.err);
    }
    assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
}

#[test]
fn read_only_file_stays() {
    let home = Home::new();
    let path = home.write(".cursor/mcp.json", CURSOR);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let ran = home.run(&["wrap", "cursor", "--yes"], 1);
    assert!(ran.err.contains("is read-only; nothing was changed"), "{}", ran.err);
    assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
    assert_eq!(home.backups(), 0);
}

/// The store of backups that a run in this home keeps.
fn store(home: &Home) -> BackupStore {
    BackupStore::new(home.path("data/tapline/wrapped"))
}

#[test]
fn two_at_once_are_one_at_a_time() {
    let home = Home::new();
    home.write(".cursor/mcp.json", CURSOR);
    home.run(&["wrap", "cursor", "--yes"], 0);
    let wrapped = home.read(".cursor/mcp.json");
    let held = store(&home).lock().unwrap();
    for arguments in [&["wrap", "cursor", "--yes", "--remote"][..], &["unwrap", "cursor", "--yes"], &["unwrap", "-y"]] {
        let ran = home.run(arguments, 1);
        assert!(ran.err.contains("another `tapline wrap` or `unwrap` is at work; nothing was changed"), "{}", ran.err);
        assert_eq!((home.read(".cursor/mcp.json"), home.backups()), (wrapped.clone(), 2));
    }
    // To look is no harm.
    home.run(&["wrap"], 0);
    drop(held);
    home.run(&["unwrap", "cursor", "--yes"], 0);
    assert_eq!(home.read(".cursor/mcp.json"), CURSOR);
}

#[test]
fn wraps_at_once_lose_neither_an_edit_nor_the_backup() {
    let home = Home::new();
    let servers: Vec<_> = (0..6).map(|at| format!("\"s{at}\": {{\"command\": \"x\"}}")).collect();
    let text = format!("{{\"mcpServers\": {{{}}}}}", servers.join(", "));
    home.write(".cursor/mcp.json", &text);
    let runs: Vec<_> = (0..6)
        .map(|at| {
            let mut command = Command::new(tapline_binary());
            command.args(["wrap", "cursor", "--yes", "--server", &format!("s{at}")]);
            command.current_dir(home.path("project")).env_clear().envs(home.environment());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let done: Vec<_> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
    let wrapped: Value = serde_json::from_str(&home.read(".cursor/mcp.json")).unwrap();
    for (at, output) in done.iter().enumerate() {
        let is_wrapped = wrapped["mcpServers"][format!("s{at}")]["args"].is_array();
        assert_eq!(output.status.code(), Some(i32::from(!is_wrapped)), "{at}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("is at work"), !is_wrapped, "{said}");
    }
    assert!(done.iter().any(|output| output.status.success()));
    home.run(&["unwrap", "-y"], 0);
    assert_eq!(home.read(".cursor/mcp.json"), text);
}

#[test]
fn broken_backup_is_refused_and_tapline_taken_out_by_editing() {
    let home = Home::new();
    let spoil = |suffix: &str, spoiled: &dyn Fn(String) -> String| {
        for kept in std::fs::read_dir(home.path("data/tapline/wrapped")).unwrap().map(|kept| kept.unwrap().path()) {
            if kept.to_str().unwrap().ends_with(suffix) {
                let text = std::fs::read_to_string(&kept).unwrap();
                std::fs::write(&kept, spoiled(text)).unwrap();
            }
        }
    };
    for (suffix, spoiled, why) in [
        (
            ".original",
            &(|text: String| text.replace("npx", "evi")) as &dyn Fn(String) -> String,
            "its content is another",
        ),
        (".original", &|text| text[..20].to_owned(), "its length is another"),
        (".json", &|text| text.replace("npx", "evi"), "its record was changed"),
        (".json", &|text| text[..40].to_owned(), "its record cannot be read"),
    ] {
        home.write(".cursor/mcp.json", CURSOR);
        home.run(&["wrap", "cursor", "--yes"], 0);
        spoil(suffix, spoiled);
        if why.contains("cannot") {
            assert!(home.run(&["unwrap", "--yes"], 1).err.contains("cannot be read"));
        }
        let ran = home.run(&["unwrap", "cursor", "--yes"], 0);
        assert!(ran.err.contains(why) && ran.err.contains("taken out by editing"), "{}", ran.err);
        assert_eq!(home.read(".cursor/mcp.json"), CURSOR, "{why}");
        assert!(home.run(&["unwrap", "--yes"], 0).out.contains("nothing is wrapped"));
    }
}

#[test]
fn hard_link_keeps_its_other_name() {
    let home = Home::new();
    home.write("dotfiles/mcp.json", CURSOR);
    std::fs::create_dir_all(home.path(".cursor")).unwrap();
    std::fs::hard_link(home.path("dotfiles/mcp.json"), home.path(".cursor/mcp.json")).unwrap();
    home.run(&["wrap", "cursor", "-y"], 0);
    assert!(home.read("dotfiles/mcp.json").contains("stdio"));
    home.run(&["unwrap", "-y"], 0);
    assert_eq!(home.read("dotfiles/mcp.json"), CURSOR);
}

#[test]
fn temporary_files_of_a_killed_run_are_removed_by_the_next() {
    let home = Home::new();
    home.write(".cursor/mcp.json", CURSOR);
    let digits = "0123456789abcdef0123456789abcdef";
    let left =
        [format!(".cursor/.mcp.json.tapline-{digits}"), format!("data/tapline/wrapped/.k.json.tapline-{digits}")];
    left.iter().for_each(|file| drop(home.write(file, "secret")));
    home.run(&["wrap", "cursor", "-y"], 0);
    assert!(left.iter().all(|file| !home.path(file).exists()));
    assert_eq!(home.backups(), 2);
}

#[test]
fn list_without_clients_says_so() {
    let home = Home::new();
    let ran = home.run(&["wrap"], 0);
    assert!(ran.out.contains("found no configuration of claude-desktop, claude-code"), "{}", ran.out);
}

#[test]
fn help_names_every_client() {
    let home = Home::new();
    let help = home.run(&["wrap", "--help"], 0).out;
    for client in tapline::wrap::clients::CLIENTS {
        assert!(help.contains(client.name), "{help}");
    }
}

/// Launches a server as its client would, from the file and with next to no environment; says one line and hears one.
async fn launch(home: &Home, config: &Value, server: &str, line: &str) -> String {
    let entry = &config["mcpServers"][server];
    let mut command = tokio::process::Command::new(entry["command"].as_str().unwrap());
    command.args(entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
    command.env_clear().env("HOME", home.path("")).env("PATH", "/usr/bin:/bin").kill_on_drop(true);
    let given = entry["env"].as_object().into_iter().flatten();
    command.envs(given.map(|(name, value)| (name, value.as_str().unwrap())));
    // Else whoever runs the tests sees it in their `tapline attach`.
    command.env("TAPLINE_NO_CONTROL", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    input.flush().await.unwrap();
    let mut heard = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    soon("a line", output.read_line(&mut heard)).await.unwrap();
    drop(input);
    soon("the end", child.wait()).await.unwrap();
    heard
}

#[tokio::test]
async fn wrapped_configuration_works_when_launched() {
    let home = Home::new();
    let mut server = Server::start().await;
    let config = json!({"mcpServers": {
        "here": {"command": tapline_binary(), "args": ["__demo-server"]},
        "there": {"type": "http", "url": server.url(), "headers": {"x-key": "a: b", "x-more": "é"}},
        "then": {"type": "sse", "url": format!("http://{}/events", server.address())},
    }});
    home.write(".cursor/mcp.json", &config.to_string());
    home.run(&["wrap", "cursor", "--yes", "--remote", "--headers"], 0);
    let wrapped: Value = serde_json::from_str(&home.read(".cursor/mcp.json")).unwrap();
    assert_eq!(wrapped["mcpServers"]["here"]["args"][0], "stdio");
    assert_eq!(wrapped["mcpServers"]["there"]["type"], "stdio");
    // Arguments are for everybody on the machine to read.
    assert!(!wrapped["mcpServers"]["there"]["args"].to_string().contains("x-key"));

    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let direct = launch(&home, &config, "here", hello).await;
    assert!(direct.contains("\"result\""), "{direct}");
    assert_eq!(launch(&home, &wrapped, "here", hello).await, direct);

    let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;
    let served = async {
        let request = server.next().await;
        let key = request.head.get("x-key").map(str::to_owned);
        assert_eq!(request.head.get("x-more"), Some("é"));
        request.json(answer).await;
        key
    };
    let (key, heard) = tokio::join!(served, launch(&home, &wrapped, "there", hello));
    assert_eq!(key.as_deref(), Some("a: b"));
    assert_eq!(heard.trim_end(), answer);

    let served = async {
        let mut stream = server.next().await;
        assert_eq!(stream.head.start, "GET /events HTTP/1.1");
        stream.begin_stream().await;
        stream.write("event: endpoint\ndata: /m\n\n").await;
        server.next().await.accept().await;
        stream.write(format!("data: {answer}\n\n")).await;
    };
    let ((), heard) = tokio::join!(served, launch(&home, &wrapped, "then", hello));
    assert_eq!(heard.trim_end(), answer);
}
