//! Breakpoints in force, and the file of a workspace that they are kept in.

use std::path::PathBuf;
use std::sync::Arc;

use super::CoreStartError;
use crate::event::{Breakpoint, BreakpointCommand, Event, Level, LogLine};
use crate::intercept::breakpoints::Breakpoints;
use crate::intercept::points;
use crate::journal::Journal;
use crate::metrics::Meter;

/// Breakpoints from the start, and where they are kept.
#[derive(Clone, Debug, Default)]
pub struct BreakpointSettings {
    pub points: Vec<Breakpoint>,
    /// Read at the start, where it is there, and written after each change.
    pub file: Option<PathBuf>,
}

/// Changes breakpoints as a screen says.
pub(super) struct PointKeeper {
    breakpoints: Breakpoints,
    file: Option<PathBuf>,
    meter: Arc<Meter>,
    journal: Journal,
}

/// Sets the breakpoints that there are from the start.
///
/// # Errors
/// What is wrong with one, or with the file.
pub(super) fn set_all(
    breakpoints: &Breakpoints,
    settings: &BreakpointSettings,
    journal: &Journal,
) -> Result<(), CoreStartError> {
    let told = journal.clone();
    breakpoints.tell_to(move |line| told.log(line));
    let failed = |why: String| CoreStartError::Breakpoints(why);
    let mut all = Vec::new();
    if let Some(file) = settings.file.as_ref().filter(|file| file.exists()) {
        let place = file.display();
        let text = std::fs::read_to_string(file).map_err(|why| failed(format!("{place}: {why}")))?;
        all = points::of_file(&text).map_err(|why| failed(format!("{place}: {why}")))?;
    }
    for point in all.into_iter().chain(settings.points.iter().cloned()) {
        let when = point.when.clone();
        let added = breakpoints.carry_out(BreakpointCommand::Add(point));
        added.map_err(|why| failed(format!("`{when}`: {why}")))?;
    }
    Ok(())
}

impl PointKeeper {
    pub(super) fn new(breakpoints: Breakpoints, file: Option<PathBuf>, meter: Arc<Meter>, journal: Journal) -> Self {
        Self { breakpoints, file, meter, journal }
    }

    pub(super) fn carry_out(&self, command: BreakpointCommand) {
        if let Err(why) = self.breakpoints.carry_out(command) {
            self.journal.log(LogLine::new(
                Level::Warn,
                "breakpoint",
                format!("the breakpoints stay as they were: {why}"),
            ));
            return;
        }
        let (file, all) = (self.file.clone(), self.breakpoints.status());
        let (meter, journal) = (self.meter.clone(), self.journal.clone());
        tokio::task::spawn_blocking(move || {
            let text = points::file_of(all.iter().map(|status| &status.point));
            if let Some((file, Err(why))) = file.map(|file| (file.display().to_string(), std::fs::write(&file, text))) {
                let text = format!("the breakpoints are not kept: {file}: {why}");
                journal.log(LogLine::new(Level::Error, "breakpoint", text));
            }
            // A screen is not to wait for the next second.
            journal.publish(Event::Figures(Arc::new(meter.figures())));
        });
    }
}
