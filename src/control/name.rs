//! The name of a tapline that was given none.

/// Programs that say nothing of the server they start.
const LAUNCHERS: [&str; 15] = [
    "bash", "bun", "bunx", "deno", "docker", "env", "node", "npx", "pnpm", "podman", "python", "python3", "sh", "uv",
    "uvx",
];

/// Words between a launcher and what it starts.
const ERRANDS: [&str; 5] = ["dlx", "exec", "run", "tool", "x"];

/// A short name for an upstream: `http://host:1/mcp` → `host:1`, `npx -y @scope/server-x /dir` → `server-x`.
pub fn short_name(upstream: &str) -> String {
    if let Some((_, rest)) = upstream.split_once("://") {
        return rest.split(['/', '?', '#']).next().unwrap_or(rest).rsplit('@').next().unwrap_or(rest).to_owned();
    }
    let mut words = upstream.split_whitespace();
    let program = base(words.next().unwrap_or("tapline"));
    if !LAUNCHERS.contains(&program) {
        return program.to_owned();
    }
    let started = words.find(|word| !word.starts_with('-') && !ERRANDS.contains(word)).map(base);
    started.filter(|name| !name.is_empty()).unwrap_or(program).to_owned()
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::short_name;

    #[test]
    fn short_name_is_what_the_launcher_starts() {
        for (upstream, name) in [
            ("http://127.0.0.1:9000/mcp", "127.0.0.1:9000"),
            ("https://user:secret@example.com/mcp?key=1", "example.com"),
            ("/usr/bin/my-server --port 1", "my-server"),
            ("npx -y @modelcontextprotocol/server-everything /home", "server-everything"),
            ("python -m mcp_server_time", "mcp_server_time"),
            ("uv run servers/weather.py", "weather.py"),
            ("docker run -i --rm mcp/fetch", "fetch"),
            ("node", "node"),
            ("", "tapline"),
        ] {
            assert_eq!(short_name(upstream), name, "{upstream}");
        }
    }
}
