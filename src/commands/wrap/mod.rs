//! `tapline wrap` and `tapline unwrap`: find the files, show the change, ask, write.

mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{ColorArg, ConsentArgs, UnwrapArgs, WrapArgs};
use crate::config::source::nearest;
use crate::text::sanitize;
use crate::wrap::backup::{BackupStore, KeptBackup};
use crate::wrap::clients::{CLIENTS, ClientSystem, ConfigFile, HostEnvironment, McpClient, file_at};
use crate::wrap::edit::{ConfigEdit, ListedServer, OriginalServer, WrapChoice};
use crate::wrap::file::FileError;
use crate::wrap::open::OpenedConfig;
use show::{Consent, WrapConsole, names};

/// How it went; the worst of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WrapOutcome {
    /// There was nothing to do, and that was said.
    Nothing,
    Written,
    /// The change was shown and not made, as was asked.
    Shown,
    Failed,
    Usage,
}

impl WrapOutcome {
    fn code(self) -> ExitCode {
        match self {
            Self::Nothing | Self::Written | Self::Shown => ExitCode::SUCCESS,
            Self::Failed => ExitCode::FAILURE,
            Self::Usage => ExitCode::from(2),
        }
    }
}

/// Runs `tapline wrap`.
pub(super) fn wrap(args: &WrapArgs, color: ColorArg) -> ExitCode {
    let console = WrapConsole::new(etcetera::home_dir().ok(), color);
    let outcome = WrapRun::open(&console, args.tapline.as_deref()).and_then(|session| match &args.routed.target {
        None => Ok(session.list()),
        Some(target) => session.wrap(args, &session.files(target)?),
    });
    finish(&console, outcome)
}

/// Runs `tapline unwrap`.
pub(super) fn unwrap(args: &UnwrapArgs, color: ColorArg) -> ExitCode {
    let console = WrapConsole::new(etcetera::home_dir().ok(), color);
    let outcome = WrapRun::open(&console, None).and_then(|session| {
        let files = match &args.routed.target {
            Some(target) => session.files(target)?,
            None => session.wrapped_files()?,
        };
        session.unwrap(args, &files)
    });
    finish(&console, outcome)
}

fn finish(console: &WrapConsole, outcome: Result<WrapOutcome, WrapError>) -> ExitCode {
    let outcome = outcome.unwrap_or_else(|refusal| {
        console.print_error(&refusal.message);
        refusal.outcome
    });
    outcome.code()
}

/// Why nothing was begun.
struct WrapError {
    outcome: WrapOutcome,
    message: String,
}

fn usage(message: impl Into<String>) -> WrapError {
    WrapError { outcome: WrapOutcome::Usage, message: message.into() }
}

fn failed(message: impl Into<String>) -> WrapError {
    WrapError { outcome: WrapOutcome::Failed, message: message.into() }
}

/// The program that clients shall start: by its whole path, as those started from a desktop have no `PATH`, and by a link
/// from the `PATH` where there is one, as package managers change what is behind it.
fn program(named: Option<&Path>) -> Result<String, WrapError> {
    let program = match named {
        Some(named) if named.components().count() == 1 => named.to_owned(),
        Some(named) => std::path::absolute(named).map_err(|error| usage(format!("cannot use `--tapline`: {error}")))?,
        None => {
            let own = std::env::current_exe()
                .map_err(|_| failed("cannot find tapline's program file; name it with `--tapline`"))?;
            linked(&own).unwrap_or(own)
        }
    };
    let text = program.into_os_string().into_string();
    text.map_err(|_| usage("the path of tapline is not UTF-8; name another with `--tapline`"))
}

fn linked(own: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut links = std::env::split_paths(&path).map(|dir| dir.join("tapline")).filter(|link| link.is_absolute());
    links.find(|link| link.canonicalize().is_ok_and(|real| Some(real) == own.canonicalize().ok()))
}

/// One run of a subcommand.
struct WrapRun<'c> {
    console: &'c WrapConsole,
    store: BackupStore,
    home: PathBuf,
    working_dir: PathBuf,
    tapline: String,
}

impl<'c> WrapRun<'c> {
    fn open(console: &'c WrapConsole, tapline: Option<&Path>) -> Result<Self, WrapError> {
        let home = etcetera::home_dir().map_err(|_| usage("no home directory; set `HOME`"))?;
        let store = BackupStore::of_user().ok_or_else(|| usage("no home directory; set `HOME`"))?;
        let working_dir = std::env::current_dir().unwrap_or_else(|_| home.clone());
        Ok(Self { console, store, home, working_dir, tapline: program(tapline)? })
    }

    fn machine(&self) -> HostEnvironment<'_> {
        let system = match std::env::consts::OS {
            "macos" => ClientSystem::Mac,
            "windows" => ClientSystem::Windows,
            _ => ClientSystem::Linux,
        };
        let (home, working_dir) = (self.home.clone(), self.working_dir.clone());
        HostEnvironment { system, home, working_dir, variable: &|name| std::env::var_os(name) }
    }

    /// The files that an argument means: those of a client, or the one at a path.
    fn files(&self, target: &Path) -> Result<Vec<ConfigFile>, WrapError> {
        let name = target.to_string_lossy();
        if let Some(client) = McpClient::named(&name) {
            let files = client.files(&self.machine());
            return if files.is_empty() { Err(self.nowhere(client)) } else { Ok(files) };
        }
        if target.exists() || name.contains(['/', '\\', '.']) {
            return Ok(vec![file_at(target, &self.machine())]);
        }
        let hint = match nearest(&name, client_names()) {
            Some(near) => format!("did you mean `{near}`? or name a file"),
            None => format!("there are {}; any other by its file", client_names().collect::<Vec<_>>().join(", ")),
        };
        Err(usage(format!("no client is called `{name}`; {hint}")))
    }

    fn nowhere(&self, client: &McpClient) -> WrapError {
        let places: Vec<_> = client.usual_places(&self.machine()).iter().map(|path| self.console.path(path)).collect();
        let (name, places) = (client.name, places.join(", "));
        usage(format!("found no configuration of `{name}` at {places}; name the file if it is elsewhere"))
    }

    fn wrapped_files(&self) -> Result<Vec<ConfigFile>, WrapError> {
        let (files, unreadable) = self.store.files();
        if let Some(path) = unreadable.first() {
            let path = self.console.path(path);
            return Err(failed(format!(
                "`{path}` cannot be read, so it is unknown what is wrapped; name client or file"
            )));
        }
        let (there, gone): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| path.exists());
        for path in gone {
            let copy = self.console.path(&self.store.copy_path(&path));
            self.console.print(&format!("{} is gone; what it was is kept as {copy}", self.console.path(&path)));
        }
        Ok(there.iter().map(|path| file_at(path, &self.machine())).collect())
    }

    fn list(&self) -> WrapOutcome {
        let files: Vec<_> = CLIENTS.iter().flat_map(|client| client.files(&self.machine())).collect();
        for file in &files {
            let client = file.client.unwrap_or_default();
            self.console.print(&format!("{client}  {}", self.console.path(&file.path)));
            match OpenedConfig::new(file, &self.store, &self.tapline) {
                Ok(opened) if opened.servers.is_empty() => self.console.print("  no servers"),
                Ok(opened) => self.console.servers(&opened.servers),
                Err(FileError::Unreadable { why, .. }) => self.console.print(&format!("  cannot be read: {why}")),
                Err(error) => self.console.print(&format!("  {error}")),
            }
        }
        self.console.print(&if files.is_empty() {
            let known = client_names().collect::<Vec<_>>().join(", ");
            format!("found no configuration of {known}; `tapline wrap FILE` takes any other")
        } else {
            "`tapline wrap CLIENT` routes a client's servers through tapline, `tapline unwrap CLIENT` undoes it"
                .to_owned()
        });
        WrapOutcome::Nothing
    }

    /// Opens the files that have servers, each once, however many paths lead to it. Those that cannot be opened are told
    /// of; a server that is in none is a mistake.
    fn open_files<'f>(
        &self,
        files: &'f [ConfigFile],
        names: &[String],
    ) -> Result<(Vec<OpenedConfig<'f>>, WrapOutcome), WrapError> {
        let mut all: Vec<OpenedConfig<'_>> = Vec::new();
        let mut outcome = WrapOutcome::Nothing;
        for file in files {
            match OpenedConfig::to_edit(file, &self.store, &self.tapline) {
                Ok(opened) if all.iter().any(|other| other.config.real == opened.config.real) => {}
                Ok(opened) => all.push(opened),
                Err(error) => outcome = outcome.max(self.report(&error)),
            }
        }
        if outcome == WrapOutcome::Nothing {
            let known: Vec<_> = all.iter().flat_map(|file| &file.servers).map(ListedServer::name).collect();
            self.none_missing(files, names, &known)?;
        }
        all.retain(|file| !file.servers.is_empty());
        Ok((all, outcome))
    }

    fn none_missing(&self, files: &[ConfigFile], names: &[String], known: &[&str]) -> Result<(), WrapError> {
        if known.is_empty() && !files.is_empty() {
            let paths: Vec<_> = files.iter().map(|file| self.console.path(&file.path)).collect();
            self.console.print(&format!("no servers in {}", paths.join(", ")));
            files.iter().for_each(|file| self.print_copy(&file.path));
            return Ok(());
        }
        match names.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(usage(match nearest(name, known.iter().copied()) {
                Some(near) => format!("no server is called `{name}`; did you mean `{near}`?"),
                None => format!("no server is called `{name}`; there are {}", known.join(", ")),
            })),
            None => Ok(()),
        }
    }

    /// Where something befell a file that was wrapped, there is a way back by hand.
    fn print_copy(&self, path: &Path) {
        if let Some(copy) = self.store.copy_of(path) {
            self.console.print(&format!("the file before `wrap` is kept as {}", self.console.path(&copy)));
        }
    }

    fn report(&self, error: &FileError) -> WrapOutcome {
        self.console.print_error(&error.to_string());
        if let FileError::Unreadable { path, .. } = error {
            self.print_copy(path);
        }
        match error {
            FileError::Missing(_)
            | FileError::NoFile(_)
            | FileError::Unreadable { .. }
            | FileError::Io { doing: "find" | "read", .. } => WrapOutcome::Usage,
            FileError::ReadOnly(_) | FileError::Changed(_) | FileError::Busy | FileError::Io { .. } => {
                WrapOutcome::Failed
            }
        }
    }

    fn wrap(&self, args: &WrapArgs, files: &[ConfigFile]) -> Result<WrapOutcome, WrapError> {
        let choice = WrapChoice {
            tapline: &self.tapline,
            servers: &args.routed.servers,
            remote: args.remote,
            headers: args.headers,
        };
        let (outcome, clients) =
            self.each(files, &args.routed.servers, |file| self.wrap_file(file, choice, &args.consent))?;
        if !clients.is_empty() {
            self.console.print(&format!(
                "restart {clients}; then `tapline attach` shows what passes, and `tapline unwrap` undoes this"
            ));
        }
        Ok(outcome)
    }

    fn unwrap(&self, args: &UnwrapArgs, files: &[ConfigFile]) -> Result<WrapOutcome, WrapError> {
        if files.is_empty() {
            self.console.print("nothing is wrapped");
        }
        let (outcome, clients) = self.each(files, &args.routed.servers, |file| self.unwrap_file(file, args))?;
        if !clients.is_empty() {
            self.console.print(&format!("restart {clients} for it to take effect"));
        }
        Ok(outcome)
    }

    /// Does something to each file. Returns how it went, and which clients have to be restarted to read what was written.
    fn each(
        &self,
        files: &[ConfigFile],
        names: &[String],
        act: impl Fn(&OpenedConfig<'_>) -> Result<WrapOutcome, FileError>,
    ) -> Result<(WrapOutcome, String), WrapError> {
        let _alone = self.store.lock().map_err(|error| failed(error.to_string()))?;
        let (opened, mut outcome) = self.open_files(files, names)?;
        let mut readers: Vec<&str> = Vec::new();
        for file in &opened {
            let done = act(file).unwrap_or_else(|error| self.report(&error));
            if done == WrapOutcome::Written {
                readers.push(file.file.client.unwrap_or("the client"));
            }
            outcome = outcome.max(done);
        }
        readers.dedup();
        Ok((outcome, readers.join(", ")))
    }

    fn wrap_file(
        &self,
        opened: &OpenedConfig<'_>,
        choice: WrapChoice<'_>,
        consent: &ConsentArgs,
    ) -> Result<WrapOutcome, FileError> {
        let edit = opened.wrapped(choice)?;
        let verdict = self.agree(opened, &edit, consent)?;
        if verdict != WrapOutcome::Written {
            return Ok(verdict);
        }
        let mut servers = edit.changed.clone();
        servers.extend(opened.wrapped_in(&opened.config.text));
        // The way back is kept before there is need of one.
        let real = &opened.config.real;
        let copy = self.store.save(real, &opened.backup_for(&edit.text, servers))?;
        if let Err(error) = opened.config.replace(&edit.text) {
            match &opened.kept {
                KeptBackup::Whole(backup) => {
                    self.store.save(real, backup)?;
                }
                KeptBackup::Nothing | KeptBackup::Broken { .. } => self.store.remove(real),
            }
            return Err(error);
        }
        let wrapped = names(edit.changed.iter().map(OriginalServer::name));
        self.console.print(&format!("wrapped {wrapped}; the file as it was is kept as {}", self.console.path(&copy)));
        if edit.changed.iter().any(OriginalServer::is_remote) {
            self.console.print(
                "a remote server that asks its client to sign in will be refused: that does not pass through stdio",
            );
        }
        Ok(WrapOutcome::Written)
    }

    fn unwrap_file(&self, opened: &OpenedConfig<'_>, args: &UnwrapArgs) -> Result<WrapOutcome, FileError> {
        if let Some(why) = opened.broken_backup() {
            let (file, copy) = (&opened.file.path, self.store.copy_path(&opened.config.real));
            let (file, copy) = (self.console.path(file), self.console.path(&copy));
            self.console.print_error(&format!(
                "the backup of {file} is not what `wrap` kept ({why}: {copy}); it is not used, tapline is taken out by editing"
            ));
        }
        let edit = opened.unwrapped(&args.routed.servers)?;
        let verdict = self.agree(opened, &edit, &args.consent)?;
        let real = &opened.config.real;
        if verdict != WrapOutcome::Written {
            if opened.is_as_before() {
                self.store.remove(real);
            }
            return Ok(verdict);
        }
        opened.config.replace(&edit.text)?;
        let left = opened.wrapped_in(&edit.text);
        if left.is_empty() && opened.broken_backup().is_some() {
            self.store.remove_record(real);
        } else if left.is_empty() {
            self.store.remove(real);
        } else {
            self.store.save(real, &opened.backup_for(&edit.text, left))?;
        }
        let unwrapped = names(edit.changed.iter().map(OriginalServer::name));
        self.console.print(&format!("unwrapped {unwrapped} in {}", self.console.path(&opened.file.path)));
        Ok(WrapOutcome::Written)
    }

    /// Shows an edit, and says `Written` where it shall be.
    fn agree(
        &self,
        opened: &OpenedConfig<'_>,
        edit: &ConfigEdit,
        consent: &ConsentArgs,
    ) -> Result<WrapOutcome, FileError> {
        let path = self.console.path(&opened.file.path);
        for (name, why) in &edit.skipped {
            let why = why.to_string();
            self.console.print(&format!("{path}: {} {}", names(std::iter::once(name.as_str())), sanitize(&why)));
        }
        if edit.changed.is_empty() {
            self.console.print(&format!("{path}: nothing to do"));
            return Ok(WrapOutcome::Nothing);
        }
        self.console.diff(&opened.file.path, &opened.config.text, &edit.text);
        if consent.dry_run {
            self.console.print("nothing was written, as `--dry-run` asks");
            return Ok(WrapOutcome::Shown);
        }
        opened.config.check_writable()?;
        if consent.yes {
            return Ok(WrapOutcome::Written);
        }
        Ok(match self.console.ask(&format!("write this to {path}?")) {
            Consent::Yes => WrapOutcome::Written,
            Consent::No => {
                self.console.print("nothing was written");
                WrapOutcome::Failed
            }
            Consent::NoTerminal => {
                self.console.print_error(
                    "nothing was written, as there is no terminal to ask on; `--yes` writes without asking",
                );
                WrapOutcome::Failed
            }
        })
    }
}

fn client_names() -> impl Iterator<Item = &'static str> {
    CLIENTS.iter().map(|client| client.name)
}
