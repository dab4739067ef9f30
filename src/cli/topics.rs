//! What `tapline help` says beside the subcommands; the man page has the same.

/// A page of the help that is about no subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Keys,
    Filters,
    Values,
    ExitStatuses,
}

impl Topic {
    pub const ALL: [Self; 4] = [Self::Keys, Self::Filters, Self::Values, Self::ExitStatuses];

    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Filters => "filters",
            Self::Values => "values",
            Self::ExitStatuses => "exit-statuses",
        }
    }
}

/// How values are written, what each is, and an example.
pub const VALUES: [(&str, &str, &str); 8] = [
    (
        "TIME",
        "a number and its unit, or several: ms, s, m, h, d; in options, in files of settings, and in filters (`~dur >500ms`). A number \
         alone is seconds; a filter refuses it",
        "500ms  2s  1m  1m30s  24h  30d",
    ),
    (
        "ADDRESS",
        "where to listen: a host and a port; without a host, or as `localhost`, reached from this machine only. Port 0 takes a \
         free one",
        "7070  :7070  localhost:7070  [::1]:7070  0.0.0.0:7070",
    ),
    (
        "URL",
        "where a server is; of a host and a port the rest is added, `http://` and `/mcp`",
        "https://example.com/mcp  127.0.0.1:9000  :9000  localhost:9000/sse",
    ),
    (
        "COMMAND",
        "the server's command line, after `--`, as it would be typed without tapline; no shell reads it once more",
        "-- npx -y @modelcontextprotocol/server-everything",
    ),
    ("FILTER", "which messages: `tapline help filters`", "'~m tools/call & ~tool search'"),
    (
        "PATH",
        "values in a reply: keys after dots, items in brackets, `*` for all, `..` for any depth",
        ".result._meta  '.result.content[*].text'  '..timestamp'",
    ),
    (
        "NAME: VALUE",
        "a header; `${NAME}` in it is a variable of the environment, which other users of the machine cannot read as they can arguments",
        "'authorization: Bearer ${TOKEN}'",
    ),
    (
        "yes|no",
        "an option without a value means yes; `--headless=no` wins over a file or a variable that says yes",
        "--ascii  --ascii=no",
    ),
];
