//! `tapline man`: the manual pages, written from what the program itself uses: clap's options, the table of keys, the operators of filters.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::help::{HelpSection, print, sections};
use crate::cli::topics::Topic;
use crate::cli::{Cli, ManArgs};
use crate::config::{FILE, keys::ConfigKeys};
use crate::exit::ExitError;
use crate::text::sanitize;
use crate::ui::KeyChoice;

const FILES: [(&str, &str); 5] = [
    ("./tapline.toml", "settings of the directory that `run`, `attach`, `demo` and `check` are started in"),
    ("~/.config/tapline/config.toml", "the user's settings"),
    ("~/.local/share/tapline/tapes", "tapes, where `--tapes` names no other directory"),
    ("~/.local/share/tapline/sessions.db", "sessions that go on when tapline is started again"),
    ("$XDG_RUNTIME_DIR/tapline", "which taplines run, for `attach`"),
];

pub(super) fn run(args: &ManArgs, keys: &KeyChoice) -> Result<ExitCode, ExitError> {
    let mut root = Cli::command();
    root.build();
    if let Some(dir) = &args.dir {
        return write_all(&root, dir, keys);
    }
    let mut command = &root;
    for word in &args.about {
        let found = command.find_subcommand(word).filter(|it| !it.is_hide_set());
        command = found.ok_or_else(|| ExitError::usage(anyhow!("there is no command `{}`", sanitize(word))))?;
    }
    print(&page(command, keys)?)
}

/// Every page, as packages have them: `tapline.1`, `tapline-run.1`.
fn write_all(command: &Command, dir: &Path, keys: &KeyChoice) -> Result<ExitCode, ExitError> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        let path = dir.join(format!("{}.1", name(command)));
        std::fs::write(&path, page(command, keys)?).with_context(|| format!("cannot write {}", path.display()))?;
        left.extend(command.get_subcommands().filter(|it| !it.is_hide_set()));
    }
    Ok(ExitCode::SUCCESS)
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, keys: &KeyChoice) -> Result<String, ExitError> {
    let mut page = Vec::new();
    let is_root = name(command) == "tapline";
    Man::new(command.clone())
        .manual("tapline")
        .source(concat!("tapline ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    if is_root {
        for topic in Topic::ALL {
            write(&mut page, &topic.name().replace('-', " ").to_uppercase(), &sections(topic, keys))?;
        }
        write(&mut page, "FILES", &[HelpSection::new("", FILES)])?;
        write(&mut page, "SETTINGS", &[settings()])?;
    }
    String::from_utf8(page).map_err(|error| anyhow!(error).into())
}

/// All that may stand in a file.
fn settings() -> HelpSection {
    let text = format!(
        "keys of {FILE}, each as the option of that name; `assets/tapline.toml` of the sources has them all, with examples"
    );
    HelpSection::new("", [(ConfigKeys::NAMES.join(", ").as_str(), text.as_str())])
}

fn write(page: &mut Vec<u8>, heading: &str, sections: &[HelpSection]) -> Result<(), ExitError> {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for section in sections {
        if !section.title.is_empty() {
            roff.control("SS", [section.title.as_str()]);
        }
        for (left, right) in &section.entries {
            roff.control("TP", []);
            roff.text([bold(left.as_str())]);
            roff.text([roman(right.replace('\n', " "))]);
        }
    }
    Ok(roff.to_writer(page)?)
}
