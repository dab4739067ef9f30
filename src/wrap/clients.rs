//! The clients that tapline knows: what they are called, where their files are, and where in a file the servers are.
//!
//! A table and nothing more; another client is another row. The places are those of the clients' documentation and, where
//! that is silent, of their code and issue trackers, as of November 2026.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::doc::ConfigFormat;

/// A program that launches MCP servers.
#[derive(Debug)]
pub struct McpClient {
    /// What it is called on our command line.
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    places: &'static [ClientFileSpec],
}

/// A file of a client.
#[derive(Debug)]
struct ClientFileSpec {
    system: Option<ClientSystem>,
    base: BaseDir,
    /// Below the base; a component `*` stands for any name.
    file: &'static str,
    containers: Containers,
}

/// Paths of keys to the tables of servers in a file; `*` stands for any key.
pub type Containers = &'static [&'static [&'static str]];

/// The directory that the path of a configuration file starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BaseDir {
    Home,
    /// The directory that a variable names, or else this one in the home directory.
    HomeOr(&'static str, &'static str),
    /// Where programs of the system keep configuration.
    Config,
    /// `$XDG_CONFIG_HOME` or `~/.config`, for a program that looks there on macOS as well.
    Xdg,
    /// Windows' directory of what stays on the machine.
    Local,
    /// The working directory or one above it, up to the root of the project.
    Project,
}

/// Systems that differ in where configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSystem {
    Linux,
    Mac,
    Windows,
}

const MCP_SERVERS: Containers = &[&["mcpServers"]];
const VSCODE: Containers = &[&["servers"]];
const VSCODE_SETTINGS: Containers = &[&["mcp", "servers"]];
const CLAUDE_CODE: Containers = &[&["mcpServers"], &["projects", "*", "mcpServers"]];
const CODEX: Containers = &[&["mcp_servers"]];
const ZED: Containers = &[&["context_servers"]];

/// Where servers may be in a file that belongs to no client we know.
pub const ANYWHERE: Containers = &[
    &["mcpServers"],
    &["servers"],
    &["context_servers"],
    &["mcp_servers"],
    &["mcp", "servers"],
    &["mcp"],
    &["projects", "*", "mcpServers"],
    &["customizations", "vscode", "mcp", "servers"],
];

const fn place(base: BaseDir, file: &'static str, containers: Containers) -> ClientFileSpec {
    ClientFileSpec { system: None, base, file, containers }
}

/// All clients, the best known first.
pub const CLIENTS: &[McpClient] = &[
    McpClient {
        name: "claude-desktop",
        aliases: &["claude-app"],
        places: &[
            place(BaseDir::Config, "Claude/claude_desktop_config.json", MCP_SERVERS),
            // What Windows shows to the packaged app in place of the directory above.
            ClientFileSpec {
                system: Some(ClientSystem::Windows),
                ..place(
                    BaseDir::Local,
                    "Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json",
                    MCP_SERVERS,
                )
            },
        ],
    },
    McpClient {
        name: "claude-code",
        aliases: &["claude", "claudecode"],
        places: &[
            place(BaseDir::HomeOr("CLAUDE_CONFIG_DIR", ""), ".claude.json", CLAUDE_CODE),
            place(BaseDir::Project, ".mcp.json", MCP_SERVERS),
        ],
    },
    McpClient {
        name: "cursor",
        aliases: &[],
        places: &[
            place(BaseDir::Home, ".cursor/mcp.json", MCP_SERVERS),
            place(BaseDir::Project, ".cursor/mcp.json", MCP_SERVERS),
        ],
    },
    McpClient {
        name: "vscode",
        aliases: &["code", "vs-code", "copilot"],
        places: &[
            place(BaseDir::Config, "Code/User/mcp.json", VSCODE),
            place(BaseDir::Config, "Code/User/profiles/*/mcp.json", VSCODE),
            place(BaseDir::Config, "Code/User/settings.json", VSCODE_SETTINGS),
            place(BaseDir::Config, "Code - Insiders/User/mcp.json", VSCODE),
            place(BaseDir::Config, "VSCodium/User/mcp.json", VSCODE),
            place(BaseDir::Project, ".vscode/mcp.json", VSCODE),
        ],
    },
    McpClient {
        name: "windsurf",
        aliases: &["codeium"],
        places: &[
            place(BaseDir::Home, ".codeium/windsurf/mcp_config.json", MCP_SERVERS),
            place(BaseDir::Home, ".codeium/mcp_config.json", MCP_SERVERS),
        ],
    },
    McpClient {
        name: "gemini",
        aliases: &["gemini-cli"],
        places: &[
            place(BaseDir::Home, ".gemini/settings.json", MCP_SERVERS),
            place(BaseDir::Project, ".gemini/settings.json", MCP_SERVERS),
        ],
    },
    McpClient {
        name: "codex",
        aliases: &["codex-cli"],
        places: &[
            place(BaseDir::HomeOr("CODEX_HOME", ".codex"), "config.toml", CODEX),
            place(BaseDir::Project, ".codex/config.toml", CODEX),
        ],
    },
    McpClient {
        name: "zed",
        aliases: &["zeditor"],
        places: &[place(BaseDir::Xdg, "zed/settings.json", ZED), place(BaseDir::Project, ".zed/settings.json", ZED)],
    },
];

/// A file that may hold servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The client that reads it, where we know.
    pub client: Option<&'static str>,
    pub format: ConfigFormat,
    pub containers: Containers,
}

/// What places depend on.
pub struct HostEnvironment<'a> {
    pub system: ClientSystem,
    pub home: PathBuf,
    pub working_dir: PathBuf,
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl McpClient {
    /// The client of a name or an alias, however it is capitalised.
    pub fn named(name: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|client| {
            std::iter::once(&client.name).chain(client.aliases).any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    /// Returns those of the client's configuration files that exist.
    pub fn files(&self, machine: &HostEnvironment<'_>) -> Vec<ConfigFile> {
        let mut files: Vec<ConfigFile> = Vec::new();
        for place in self.places {
            for path in self.expand(place, machine) {
                if path.is_file() && !files.iter().any(|file| file.path == path) {
                    files.push(ConfigFile {
                        format: format_of(&path),
                        path,
                        client: Some(self.name),
                        containers: place.containers,
                    });
                }
            }
        }
        files
    }

    /// Where its files would be, in words that fit any project.
    pub fn usual_places(&self, machine: &HostEnvironment<'_>) -> Vec<PathBuf> {
        let places = self.places.iter().filter(|place| place.system.is_none_or(|system| system == machine.system));
        places
            .filter_map(|place| match place.base {
                BaseDir::Project => Some(PathBuf::from(place.file)),
                base => Some(machine.base(base)?.join(place.file)),
            })
            .collect()
    }

    fn expand(&self, place: &ClientFileSpec, machine: &HostEnvironment<'_>) -> Vec<PathBuf> {
        if place.system.is_some_and(|system| system != machine.system) {
            return Vec::new();
        }
        match place.base {
            BaseDir::Project => machine.project_dirs().iter().map(|dir| dir.join(place.file)).collect(),
            base => machine.base(base).map(|base| glob(base, place.file)).unwrap_or_default(),
        }
    }
}

/// The file at a path that the user named: as its client's where that is known, else of an unknown client.
pub fn file_at(path: &Path, machine: &HostEnvironment<'_>) -> ConfigFile {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let known = CLIENTS.iter().flat_map(|client| client.files(machine));
    let known = known.into_iter().find(|file| file.path.canonicalize().is_ok_and(|other| other == real));
    match known {
        Some(file) => ConfigFile { path: path.to_owned(), ..file },
        None => ConfigFile { path: path.to_owned(), client: None, format: format_of(path), containers: ANYWHERE },
    }
}

fn format_of(path: &Path) -> ConfigFormat {
    let toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if toml { ConfigFormat::Toml } else { ConfigFormat::Jsonc }
}

impl HostEnvironment<'_> {
    fn base(&self, base: BaseDir) -> Option<PathBuf> {
        let home = |dir: &str| if dir.is_empty() { self.home.clone() } else { self.home.join(dir) };
        let from = |variable: &str| (self.variable)(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
        Some(match (base, self.system) {
            (BaseDir::Home, _) => self.home.clone(),
            (BaseDir::HomeOr(variable, dir), _) => from(variable).unwrap_or_else(|| home(dir)),
            (BaseDir::Config, ClientSystem::Mac) => home("Library/Application Support"),
            (BaseDir::Config | BaseDir::Xdg, ClientSystem::Windows) => {
                from("APPDATA").unwrap_or_else(|| home("AppData/Roaming"))
            }
            (BaseDir::Config | BaseDir::Xdg, ClientSystem::Linux) => {
                from("XDG_CONFIG_HOME").unwrap_or_else(|| home(".config"))
            }
            (BaseDir::Xdg, ClientSystem::Mac) => home(".config"),
            (BaseDir::Local, _) => from("LOCALAPPDATA").unwrap_or_else(|| home("AppData/Local")),
            (BaseDir::Project, _) => return None,
        })
    }

    /// The working directory and those above it up to the project's root, without the home directory.
    fn project_dirs(&self) -> Vec<&Path> {
        let mut dirs = Vec::new();
        for dir in self.working_dir.ancestors().take_while(|dir| **dir != self.home) {
            dirs.push(dir);
            if dir.join(".git").exists() {
                return dirs;
            }
        }
        // Without a root there is no telling what above belongs to the project.
        dirs.truncate(1);
        dirs
    }
}

/// The paths that a relative path with `*` components stands for.
fn glob(base: PathBuf, file: &str) -> Vec<PathBuf> {
    let mut paths = vec![base];
    for component in file.split('/') {
        paths = match component {
            "*" => paths.iter().flat_map(|dir| children(dir)).collect(),
            name => paths.into_iter().map(|dir| dir.join(name)).collect(),
        };
    }
    paths
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut children: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    children.sort();
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine<'a>(
        system: ClientSystem,
        dir: &Path,
        variable: &'a dyn Fn(&str) -> Option<OsString>,
    ) -> HostEnvironment<'a> {
        HostEnvironment { system, home: dir.join("home"), working_dir: dir.join("home/p/sub"), variable }
    }

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    #[test]
    fn clients_are_found_where_their_system_has_them() {
        let none: &dyn Fn(&str) -> Option<OsString> = &|_| None;
        for (client, system, path) in [
            ("claude-desktop", ClientSystem::Linux, "home/.config/Claude/claude_desktop_config.json"),
            ("claude-desktop", ClientSystem::Mac, "home/Library/Application Support/Claude/claude_desktop_config.json"),
            ("Claude-Desktop", ClientSystem::Windows, "home/AppData/Roaming/Claude/claude_desktop_config.json"),
            (
                "claude-app",
                ClientSystem::Windows,
                "home/AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json",
            ),
            ("claude", ClientSystem::Mac, "home/.claude.json"),
            ("claude-code", ClientSystem::Linux, "home/p/sub/.mcp.json"),
            ("claude-code", ClientSystem::Linux, "home/p/.mcp.json"),
            ("cursor", ClientSystem::Windows, "home/.cursor/mcp.json"),
            ("cursor", ClientSystem::Linux, "home/p/.cursor/mcp.json"),
            ("vscode", ClientSystem::Linux, "home/.config/Code/User/mcp.json"),
            ("code", ClientSystem::Mac, "home/Library/Application Support/Code/User/profiles/-1a/mcp.json"),
            ("vscode", ClientSystem::Windows, "home/AppData/Roaming/Code/User/settings.json"),
            ("vscode", ClientSystem::Linux, "home/p/.vscode/mcp.json"),
            ("windsurf", ClientSystem::Mac, "home/.codeium/windsurf/mcp_config.json"),
            ("gemini", ClientSystem::Linux, "home/.gemini/settings.json"),
            ("gemini-cli", ClientSystem::Linux, "home/p/.gemini/settings.json"),
            ("codex", ClientSystem::Linux, "home/.codex/config.toml"),
            ("codex", ClientSystem::Mac, "home/p/.codex/config.toml"),
            ("zed", ClientSystem::Mac, "home/.config/zed/settings.json"),
            ("zed", ClientSystem::Windows, "home/AppData/Roaming/zed/settings.json"),
            ("zed", ClientSystem::Linux, "home/p/.zed/settings.json"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            touch(&dir.path().join("home/p/.git/HEAD"));
            let path = dir.path().join(path);
            touch(&path);
            let machine = machine(system, dir.path(), none);
            let files = McpClient::named(client).unwrap().files(&machine);
            assert_eq!(files.iter().map(|file| &file.path).collect::<Vec<_>>(), [&path], "{client}");
            assert_eq!(file_at(&path, &machine), files[0]);
        }
    }

    #[test]
    fn variables_move_directories() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        let variable = |_: &str| Some(elsewhere.clone().into_os_string());
        let machine = machine(ClientSystem::Linux, dir.path(), &variable);
        for (client, file) in [
            ("claude-code", ".claude.json"),
            ("codex", "config.toml"),
            ("zed", "zed/settings.json"),
            ("vscode", "Code/User/mcp.json"),
        ] {
            touch(&elsewhere.join(file));
            assert_eq!(McpClient::named(client).unwrap().files(&machine)[0].path, elsewhere.join(file));
        }
    }

    #[test]
    fn working_directory_alone_counts_outside_a_project() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["home/p/.mcp.json", "home/.mcp.json", "home/p/sub/.mcp.json"] {
            touch(&dir.path().join(path));
        }
        let files = McpClient::named("claude").unwrap().files(&machine(ClientSystem::Linux, dir.path(), &|_| None));
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].path, dir.path().join("home/p/sub/.mcp.json"));
    }
}
