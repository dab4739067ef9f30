//! `tapline tape import`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

use super::shelf::TapeShelf;
use crate::cli::TapeImportArgs;
use crate::commands::help::print;
use crate::commands::output::{check_new, is_tape, make_dir};
use crate::exit::{self, ExitError};
use crate::tape::import::{IS_TAPE, ImportedTape, import};
use crate::tape::read::is_packed;
use crate::tape::{SUFFIX, TapeError};
use crate::text::{counted, sanitize};

pub(super) fn run(shelf: &TapeShelf, args: &TapeImportArgs) -> Result<ExitCode, ExitError> {
    args.out.as_deref().map_or(Ok(()), |out| check_new(out, &[]))?;
    let (mut said, mut failed) = (String::new(), None);
    for file in &args.files {
        match make(shelf, file, args.out.as_deref()) {
            Ok(line) => said.push_str(&line),
            // Each of several is said, and the others are imported all the same.
            Err(error) if args.files.len() > 1 => failed = Some(error.report()),
            Err(error) => return Err(error),
        }
    }
    let done = print(&said)?;
    Ok(failed.unwrap_or(done))
}

/// Makes a tape of one file, and says which.
fn make(shelf: &TapeShelf, file: &Path, out: Option<&Path>) -> Result<String, ExitError> {
    let unreadable = |why: String| ExitError::usage(anyhow!("cannot import {}: {why}", file.display()));
    // A tape may be packed, and larger than memory.
    if is_tape(file) {
        return Err(unreadable(IS_TAPE.to_owned()));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    if is_packed(&bytes) {
        return Err(unreadable("it is packed by zstd; unpack it first: `zstd -d`".to_owned()));
    }
    let imported = import(file, &bytes).map_err(unreadable)?;
    if imported.messages == 0 {
        return Err(unreadable("there is no message of MCP in it".to_owned()));
    }
    for left in &imported.left {
        exit::print_stderr(&format!("tapline: {}: {left}", file.display()));
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = match out {
        Some(out) => out.to_owned(),
        None => shelf.dir()?.join(format!("{name}{SUFFIX}")),
    };
    write(&out, &imported.text)?;
    let (place, ImportedTape { messages, format, .. }) = (out.display().to_string(), imported);
    Ok(format!("{}  {} from {format}\n", sanitize(&place), counted(messages, "message")))
}

/// Never over something else.
fn write(path: &Path, text: &[u8]) -> Result<(), ExitError> {
    make_dir(path)?;
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text));
    Ok(written.map_err(|error| TapeError::unwritten(path, error))?)
}
