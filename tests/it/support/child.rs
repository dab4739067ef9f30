//! Children that take more than a line of shell: this test binary itself, told by a variable whom to play.
//!
//! A binary of its own would have to be found again under a hashed name, may not be built (`cargo test --test it`
//! builds neither examples nor other tests), or would be installed along with tapline. The test binary is always there. The test
//! harness talks on stdout, so a line of shell moves the real stdout to descriptor 3 before it starts.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

const ROLE: &str = "TAPLINE_TEST_ROLE";
/// Of the roles that the interoperability check gives out (`tests/interop/driver.mjs`): one word a line.
const WORDS: &str = "TAPLINE_TEST_WORDS";
const SCRIPT: &str = r#"export TAPLINE_TEST_ROLE="$1"; exec 3>&1 >/dev/null; exec "$0" --exact support::child::child_role_is_played --nocapture"#;

/// The words of a command that plays a role: `mirror` or `rmcp`.
pub(crate) fn role(role: &str) -> Vec<String> {
    let binary = std::env::current_exe().unwrap();
    ["sh", "-c", SCRIPT, binary.to_str().unwrap(), role].map(str::to_owned).to_vec()
}

/// In the child, the child's whole life; in the tests, that the child needs no tapline to live it.
#[test]
fn child_role_is_played() {
    match std::env::var(ROLE).as_deref() {
        Ok("mirror") => mirror(),
        Ok("rmcp") => crate::peers::serve_stdio(real_stdout()),
        Ok("rmcp-http") => crate::peers::serve_http_on(words()[0].parse().unwrap()),
        Ok("rmcp-client") => crate::interop::run(&words(), real_stdout()),
        Ok(role) => panic!("no such role: {role}"),
        Err(_) => speaks_by_itself(),
    }
}

fn words() -> Vec<String> {
    std::env::var(WORDS).unwrap().lines().map(str::to_owned).collect()
}

fn real_stdout() -> File {
    File::options().write(true).open("/dev/fd/3").unwrap()
}

/// Says every line again, requests for `echo` as replies, everything else byte for byte.
fn mirror() {
    let mut out = real_stdout();
    let mut lines = BufReader::new(std::io::stdin());
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).unwrap() > 0 {
        out.write_all(&mirrored(&line)).unwrap();
        line.clear();
    }
}

/// What the mirror says to a line.
pub(crate) fn mirrored(line: &[u8]) -> Vec<u8> {
    const ASKED: &[u8] = br#""method":"echo""#;
    match memchr::memmem::find(line, ASKED) {
        Some(at) => [&line[..at], br#""result":{}"#, &line[at + ASKED.len()..]].concat(),
        None => line.to_vec(),
    }
}

fn speaks_by_itself() {
    let words = role("mirror");
    let mut command = Command::new(&words[0]);
    let mut child = command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"id\":1,\"method\":\"echo\"}\n\xff\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"{\"id\":1,\"result\":{}}\n\xff\n");
}
