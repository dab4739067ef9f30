//! What tapline says of itself and of what is here: `doctor`, `completions`, `man`; and which status each way to end has.

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::binary::command;
use crate::support::{Binary, tapline_binary};

/// Runs to the end; gives status, stdout and stderr.
fn end(command: &mut Command) -> (i32, String, String) {
    let assert = command.assert();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A home with nothing in it, a working directory with nothing in it, a `PATH` with tapline.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        for dir in ["home", "here", "bin"] {
            fs::create_dir(place.path().join(dir)).unwrap();
        }
        std::os::unix::fs::symlink(tapline_binary(), place.path().join("bin/tapline")).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command.current_dir(self.path().join("here")).env("HOME", self.path().join("home")).args(arguments);
        command.env("TAPLINE_RUNTIME_DIR", self.path().join("run")).env("PATH", self.path().join("bin"));
        command.env_remove("TAPLINE_NO_CONTROL").env_remove("TAPLINE_NO_DATABASE");
        command.env_remove("CODEX_HOME").env_remove("CLAUDE_CONFIG_DIR");
        command
    }

    /// On a port that is free, so that what else runs on this machine is no finding.
    fn doctor(&self) -> (i32, Value) {
        let (status, stdout, stderr) = end(&mut self.command(&["doctor", "--json"]));
        assert_eq!(stderr, "");
        (status, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}")))
    }
}

/// The findings about something.
fn about<'a>(report: &'a Value, what: &str) -> Vec<&'a Value> {
    report["checks"].as_array().unwrap().iter().filter(|check| check["about"] == what).collect()
}

#[test]
fn doctor_finds_nothing_to_fix_in_a_fresh_home() {
    let place = Place::new();
    place.write("here/tapline.toml", "listen = \"127.0.0.1:0\"\n");
    let (status, report) = place.doctor();
    assert_eq!((status, &report["to_fix"]), (0, &0.into()), "{report:#}");
    for what in
        ["program", "settings", "port", "taplines", "tapes", "clock", "sessions", "clients", "terminal", "clipboard"]
    {
        assert!(!about(&report, what).is_empty(), "nothing about {what}: {report:#}");
    }
    let (status, stdout, stderr) = end(&mut place.command(&["doctor"]));
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with("\nnothing to fix\n") && !stdout.contains('\x1b'), "{stdout}");
    assert!(end(&mut place.command(&["doctor", "--color", "always"])).1.contains("\x1b[32mok  \x1b[0m"));
    assert!(!place.path().join("home/.local").exists(), "it makes nothing in the home");
}

#[test]
fn doctor_says_what_to_fix() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    place.write("here/tapline.toml", &format!("listen = \"{}\"\n", taken.local_addr().unwrap()));
    place.write("home/.cursor/mcp.json", "{ \"mcpServers\": ");
    place.write("home/.local/share/tapline/sessions.db", "no database");
    fs::create_dir(place.path().join("run")).unwrap();
    fs::set_permissions(place.path().join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (status, report) = place.doctor();
    assert_eq!((status, &report["to_fix"]), (1, &4.into()), "{report:#}");
    for (what, fix) in [
        ("port", "`tapline run --listen 0`"),
        ("taplines", "`XDG_RUNTIME_DIR` names one"),
        ("sessions", "move the file away"),
        ("clients", "correct the file"),
    ] {
        let [finding] = about(&report, what)[..] else { panic!("{report:#}") };
        assert!(finding["fix"].as_str().is_some_and(|told| told.contains(fix)), "{finding:#}");
    }
    place.write("here/tapline.toml", "lisen = 1");
    let (_, report) = place.doctor();
    let [settings] = about(&report, "settings")[..] else { panic!("{report:#}") };
    assert!(settings["text"].as_str().unwrap().contains("tapline.toml:1:1: unknown key `lisen`"), "{settings}");
}

#[test]
fn doctor_knows_clients_and_what_is_wrapped() {
    let place = Place::new();
    place.write("here/tapline.toml", "listen = \"127.0.0.1:0\"\n");
    let servers = r#"{ "mcpServers": { "weather": { "command": "cat" }, "files": { "command": "cat" } } }"#;
    place.write("home/.cursor/mcp.json", servers);
    let text = |report: &Value| about(report, "clients")[0]["text"].as_str().unwrap().to_owned();
    assert!(text(&place.doctor().1).ends_with("2 servers, none wrapped"));
    let (status, _, stderr) = end(&mut place.command(&["wrap", "cursor", "--yes", "--server", "weather"]));
    assert_eq!((status, stderr.as_str()), (0, ""));
    let (status, report) = place.doctor();
    assert!(status == 0 && text(&report).ends_with("2 servers, wrapped: weather"), "{report:#}");
    // The program that the client would start has gone.
    assert_eq!(end(&mut place.command(&["unwrap", "cursor", "--yes"])).0, 0);
    let gone = place.path().join("gone/tapline");
    assert_eq!(end(place.command(&["wrap", "cursor", "--yes", "--tapline"]).arg(&gone)).0, 0);
    let (status, report) = place.doctor();
    assert_eq!(status, 1);
    assert!(text(&report).contains(&format!("go through {}, which is not there", gone.display())), "{report:#}");
}

#[tokio::test]
async fn doctor_names_taplines_that_run() {
    let place = Place::new();
    let demo = ["--no-record", "--name", "weather", "--", "tapline", "__demo-server"];
    let binary = Binary::run_as(place.command(&[]), &demo).await;
    place.write("here/tapline.toml", &format!("listen = \"{}\"\n", binary.address()));
    let (_, report) = place.doctor();
    let taplines = about(&report, "taplines")[0]["text"].as_str().unwrap();
    assert!(taplines.contains(&format!("running: weather ({})", binary.process())), "{taplines}");
    let port = about(&report, "port")[0];
    assert!(port["state"] == "note" && port["text"].as_str().unwrap().contains("the tapline `weather`"), "{port}");
}

#[test]
fn completions_are_there_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, script, stderr) = end(command().args(["completions", shell]));
        assert_eq!((status, stderr.as_str()), (0, ""), "{shell}");
        for word in ["replay", "sessions", "upstream", "completions"] {
            assert!(script.contains(word), "{shell}: no `{word}`");
        }
        assert!(!script.contains("__demo-server") && !script.contains("__guardian"), "{shell}");
    }
    assert_eq!(end(command().args(["completions", "ksh"])).0, 2);
    let script = end(command().args(["completions", "bash"])).1;
    let asked = "COMP_WORDS=(tapline sess); COMP_CWORD=1; _tapline tapline sess tapline; echo \"${COMPREPLY[*]}\"";
    let completed = Command::new("bash").args(["--norc", "-c", &format!("{script}\n{asked}")]).output();
    // Where there is no bash there is nobody to complete for.
    if let Ok(output) = completed {
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "sessions");
    }
}

#[test]
fn man_has_every_command_and_every_key() {
    let (status, page, _) = end(command().args(["man"]));
    assert_eq!(status, 0);
    for heading in ["NAME", "SYNOPSIS", "KEYS", "FILTERS", "VALUES", "\"EXIT STATUSES\"", "FILES", "SETTINGS"] {
        assert!(page.contains(&format!(".SH {heading}")), "{heading}");
    }
    let (_, keys, _) = end(command().args(["help", "keys"]));
    let of = |line: &str| line.get(24..).map(|what| what.trim().replace('-', "\\-"));
    let told: Vec<_> =
        keys.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(of).collect();
    assert!(told.len() > 100, "{keys}");
    let flat = page.replace('\n', " ").replace("\\*(Aq", "'").replace(r"\\", "\\");
    for what in told {
        assert!(flat.contains(what.split("  ").next().unwrap()), "no `{what}`");
    }
    let place = TempDir::new().unwrap();
    let dir = place.path().join("man1");
    assert_eq!(end(command().args(["man", "--dir"]).arg(&dir)).0, 0);
    for page in ["tapline.1", "tapline-run.1", "tapline-sessions-rm.1", "tapline-doctor.1"] {
        assert!(dir.join(page).exists(), "{page}");
    }
    assert!(!dir.join("tapline-__demo-server.1").exists());
}

#[test]
fn exit_statuses_are_as_the_table_says() {
    let place = Place::new();
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    let changed = ["replay", tape, "--speed", "max", "--", "tapline", "__demo-server", "--changed"];
    let as_before = &changed[..7];
    place.write("here/other.json", r#"{ "mcpServers": { "weather": { "command": "cat" } } }"#);
    for (arguments, expected) in [
        (&["--version"][..], 0),
        (&["help", "exit-statuses"], 0),
        (&["unwrap"], 0),
        (&["wrap", "./other.json", "--dry-run"], 0),
        (&["sessions", "ls"], 0),
        (as_before, 0),
        // The work failed.
        (&changed, 1),
        (&["replay", tape, "--upstream", "http://127.0.0.1:1/mcp", "--speed", "max"], 1),
        (&["replay", tape, "--", "/bin/sh", "-c", "exit 7"], 1),
        (&["wrap", "./other.json"], 1),
        // What is named is not there, or cannot be.
        (&[], 2),
        (&["run"], 2),
        (&["run", "--", "./no-such-program"], 2),
        (&["stdio", "--", "./no-such-program"], 2),
        (&["replay", tape, "--", "./no-such-program"], 2),
        (&["attach", "nosuch"], 2),
        (&["attach", "127.0.0.1:1"], 2),
        (&["sessions", "show", "nosuch"], 2),
        (&["wrap", "nosuch"], 2),
        (&["wrap", "cursor"], 2),
        (&["unwrap", "cursor"], 2),
        (&["wrap", "./no.json"], 2),
        (&["replay", "no.tape.jsonl", "--", "cat"], 2),
        (&["check"], 2),
        (&["check", "no.toml"], 2),
        (&["man", "nosuch"], 2),
        (&["help", "nosuch"], 2),
    ] {
        let (status, stdout, stderr) = end(&mut place.command(arguments));
        assert_eq!(status, expected, "{arguments:?}: {stdout}{stderr}");
        assert!(status == 0 || !stderr.is_empty() || !stdout.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn replay_at_a_dead_server_says_it_once() {
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    let (status, stdout, stderr) =
        end(command().args(["replay", tape, "--upstream", "http://127.0.0.1:1/mcp", "--speed", "max"]));
    assert_eq!((status, stderr.as_str()), (1, ""));
    assert_eq!(stdout.matches("cannot reach").count(), 1, "{stdout}");
    assert_eq!(stdout.matches("the server is gone").count(), 1, "{stdout}");
    assert!(stdout.lines().count() < 6 && stdout.contains("for the same reason"), "{stdout}");
    let json = ["replay", tape, "--upstream", "http://127.0.0.1:1/mcp", "--speed", "max", "--report", "json"];
    let report: Value = serde_json::from_str(&end(command().args(json)).1).unwrap();
    assert!(report["steps"].as_array().unwrap().len() > 10, "every step is in the report of a machine");
}

#[test]
fn upstream_whose_variable_is_not_set_is_no_error_of_others() {
    let place = Place::new();
    let needy = "[upstreams.files]\nurl = \"http://127.0.0.1:1/mcp\"\nheaders = { authorization = \"Bearer ${NOT_SET_HERE}\" }\n";
    place.write("here/tapline.toml", &format!("{needy}[upstreams.weather]\ncommand = [\"tapline\"]\n"));
    let (status, stdout, stderr) = end(&mut place.command(&["check"]));
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stderr.contains("upstream `files` is not served: the environment variable `NOT_SET_HERE` is not set"),
        "{stderr}"
    );
    assert!(stdout.contains("/files/mcp               not served") && stdout.contains("/weather/mcp"), "{stdout}");
    let (status, _, stderr) = end(&mut place.command(&["run", "--upstream", "files"]));
    assert_eq!((status, stderr.contains("tapline.toml:3:29: the environment variable")), (2, true), "{stderr}");
    place.write("here/tapline.toml", needy);
    let (status, _, stderr) = end(&mut place.command(&["check"]));
    assert_eq!((status, stderr.contains("tapline.toml:3:29: ")), (2, true), "{stderr}");
}
