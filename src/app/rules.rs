//! Rules in force: as their files have them, and as a screen changes them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::CoreStartError;
use crate::event::{Event, Level, LogLine, RuleCommand};
use crate::journal::Journal;
use crate::metrics::Meter;
use crate::rules::{RuleBook, RuleDesk, RuleFiles, RuleSet, name_of};
use crate::text::counted_are;
use crate::upstream::watch::Watched;

/// The rules that are asked, and their texts.
pub(super) struct RuleFollower {
    book: RuleBook,
    desk: RuleDesk,
}

impl RuleFollower {
    /// Reads the files and puts their rules in force.
    ///
    /// # Errors
    /// Everything that is wrong with one of them.
    pub(super) fn open(files: RuleFiles, journal: &Journal) -> Result<Self, CoreStartError> {
        let is_given = !files.is_empty();
        let (desk, set) = RuleDesk::open(files).map_err(CoreStartError::Rules)?;
        if is_given {
            warn_of(&set, journal);
            log(journal, Level::Info, format!("{} in force", counted_are(set.len(), "rule")));
        }
        let told = journal.clone();
        Ok(Self { book: RuleBook::new(set, move |line| told.log(line)), desk })
    }

    /// Who is to be asked.
    pub(super) fn book(&self) -> &RuleBook {
        &self.book
    }

    /// Follows files that change and a screen that changes rules, which it does by what is sent to the other end.
    ///
    /// # Errors
    /// Where a file cannot be watched.
    pub(super) fn follow(
        mut self,
        meter: Arc<Meter>,
        journal: Journal,
    ) -> Result<mpsc::UnboundedSender<RuleCommand>, CoreStartError> {
        let (sender, mut commands) = mpsc::unbounded_channel();
        let mut watched = self.watch()?;
        if !self.book.current().is_empty() {
            // Rules are shown before the first message comes.
            journal.publish(Event::Figures(Arc::new(meter.figures())));
        }
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = next_change(&mut watched) => match changed {
                        Some(()) => self.reread(&journal),
                        None => watched = None,
                    },
                    command = commands.recv() => match command {
                        Some(command) => {
                            self.carry_out(&command, &journal);
                            if matches!(command, RuleCommand::Save { .. } | RuleCommand::Revert) {
                                watched = self.watch().unwrap_or_default();
                            }
                        }
                        None => return,
                    },
                }
                // A screen is not to wait for the next second.
                journal.publish(Event::Figures(Arc::new(meter.figures())));
            }
        });
        Ok(sender)
    }

    fn watch(&self) -> Result<Option<Watched>, CoreStartError> {
        let files = self.desk.watched();
        Ok(if files.is_empty() { None } else { Some(Watched::new(&files)?) })
    }

    fn reread(&mut self, journal: &Journal) {
        match self.desk.reread() {
            Ok(set) => {
                warn_of(&set, journal);
                let count = set.len();
                self.book.replace(set);
                log(journal, Level::Info, format!("the rules have changed: {count} are in force"));
                for file in self.desk.overtaken() {
                    let text = format!(
                        "{} has changed, and so has it here: `:original` on the screen of rules takes it",
                        file.display()
                    );
                    log(journal, Level::Warn, text);
                }
            }
            Err(faults) => {
                self.book.refuse(&faults);
                log(journal, Level::Error, format!("the rules stay as they were: {faults}"));
            }
        }
    }

    fn carry_out(&mut self, command: &RuleCommand, journal: &Journal) {
        let unsaved = match command {
            RuleCommand::Save { file } => self.desk.unsaved(file.as_deref()),
            _ => Vec::new(),
        };
        match self.desk.carry_out(command) {
            Ok(set) => {
                warn_of(&set, journal);
                self.book.replace(set);
                log(journal, Level::Info, done(command, &unsaved));
            }
            Err(why) => log(journal, Level::Warn, format!("the rules stay as they were: {why}")),
        }
    }
}

/// Waits for ever where nothing is watched; `None` where the watch has ended.
async fn next_change(watched: &mut Option<Watched>) -> Option<()> {
    match watched {
        Some(watched) => watched.next().await.map(drop),
        None => std::future::pending().await,
    }
}

/// `saved`: the files that were written.
fn done(command: &RuleCommand, saved: &[PathBuf]) -> String {
    match command {
        RuleCommand::Add { text } => format!(
            "the rule `{}` is in force from the next message on: screen `3` lists it, `s` there writes it to a file",
            name_of(text).unwrap_or_default()
        ),
        RuleCommand::Replace { name, .. } => format!("the rule `{name}` is another now"),
        RuleCommand::Switch { name, on } => format!("the rule `{name}` is {}", if *on { "on" } else { "off" }),
        RuleCommand::Move { name, up } => {
            format!("the rule `{name}` is asked {}", if *up { "sooner" } else { "later" })
        }
        RuleCommand::Remove { name } => format!("the rule `{name}` is gone: `u` on screen `3` brings it back"),
        RuleCommand::Restore { name } => format!("the rule `{name}` is back where it stood"),
        RuleCommand::Save { .. } if saved.is_empty() => "nothing to save: all rules are as in their files".to_owned(),
        RuleCommand::Save { .. } => {
            let places: Vec<_> = saved.iter().map(|place| place.display().to_string()).collect();
            format!("saved to {}: `--rules FILE` has it in force at the next start", places.join(", "))
        }
        RuleCommand::Revert => "the rules are as in their files".to_owned(),
    }
}

fn warn_of(set: &RuleSet, journal: &Journal) {
    set.notes().into_iter().for_each(|note| log(journal, Level::Warn, note));
}

fn log(journal: &Journal, level: Level, text: String) {
    journal.log(LogLine::new(level, "rules", text));
}
