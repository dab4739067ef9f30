//! `tapline tape import`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::shelf::TapeShelf;
use crate::cli::TapeImportArgs;
use crate::commands::help::print;
use crate::exit::{self, ExitError};
use crate::tape::SUFFIX;
use crate::tape::import::import;
use crate::text::sanitize;

pub(super) fn run(shelf: &TapeShelf, args: &TapeImportArgs) -> Result<ExitCode, ExitError> {
    let mut said = String::new();
    for file in &args.files {
        let unreadable = |why: String| ExitError::usage(anyhow!("cannot import {}: {why}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
        let imported = import(file, &bytes).map_err(unreadable)?;
        if imported.messages == 0 {
            return Err(unreadable("there is no message of MCP in it".to_owned()));
        }
        for left in &imported.left {
            exit::print_stderr(&format!("tapline: {}: {left}", file.display()));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let out = match &args.out {
            Some(out) => out.clone(),
            None => shelf.dir()?.join(format!("{name}{SUFFIX}")),
        };
        write(&out, &imported.text)?;
        // A string takes everything.
        let _ = writeln!(
            said,
            "{}  {} messages from {}",
            sanitize(&out.display().to_string()),
            imported.messages,
            imported.format
        );
    }
    print(&said)
}

/// Never over something else.
fn write(path: &Path, text: &[u8]) -> Result<(), ExitError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
