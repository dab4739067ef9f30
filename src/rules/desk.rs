//! The texts of all rules as a screen changes them: each change is in force at once, and in its file when it is saved.

use std::path::{Path, PathBuf};

use super::document::{RuleDocument, TakenRule};
use super::files::{RuleFiles, RulePage};
use super::set::{MOST_TAKEN, RuleSet};
use crate::event::RuleCommand;

/// All rules, as texts.
pub struct RuleDesk {
    files: RuleFiles,
    pages: Vec<RulePage>,
    /// What was removed, the latest last.
    taken: Vec<TakenOut>,
}

/// A rule that was removed, and the page that it stood on.
struct TakenOut {
    name: String,
    page: usize,
    rule: TakenRule,
}

impl RuleDesk {
    /// Reads all files.
    ///
    /// # Errors
    /// Everything that is wrong with any, a line each.
    pub fn open(files: RuleFiles) -> Result<(Self, RuleSet), String> {
        let pages = files.pages()?;
        let set = files.set_of(&pages)?;
        Ok((Self { files, pages, taken: Vec::new() }, set))
    }

    /// Those that are files, and may change.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.pages.iter().filter_map(RulePage::file).filter(|file| file.exists()).map(Path::to_owned).collect()
    }

    /// Reads the files again. One in which something is unsaved stays as it is here.
    ///
    /// # Errors
    /// Everything that is wrong with any; then all stays as it was.
    pub fn reread(&mut self) -> Result<RuleSet, String> {
        let mut pages = self.pages.clone();
        for page in pages.iter_mut().filter(|page| !page.is_unsaved()) {
            page.reread()?;
        }
        self.keep(pages)
    }

    /// Does what a screen asks for.
    ///
    /// # Errors
    /// Why it cannot be done, or what would be wrong then; all stays as it was.
    pub fn carry_out(&mut self, command: &RuleCommand) -> Result<RuleSet, String> {
        let mut pages = self.pages.clone();
        let mut named = None;
        match command {
            RuleCommand::Add { text } => {
                named = name_of(text);
                made_here(&mut pages).change(|doc| doc.add(text))?;
            }
            RuleCommand::Replace { name, text } => {
                named = name_of(text).filter(|new| new != name);
                page_of(&mut pages, name)?.change(|doc| doc.replace(name, text))?;
            }
            RuleCommand::Remove { name } => return self.remove(pages, name),
            RuleCommand::Restore { name } => return self.restore(pages, name),
            RuleCommand::Switch { name, on } => self.switch(&mut pages, name, *on)?,
            RuleCommand::Move { name, up } => shift(&mut pages, name, *up)?,
            RuleCommand::Save { file } => {
                self.save(file.as_deref())?;
                return self.files.set_of(&self.pages);
            }
            RuleCommand::Revert => {
                self.taken.clear();
                pages.retain(|page| page.file().is_some() || !page.takes_new());
                pages.iter_mut().try_for_each(RulePage::reread)?;
            }
        }
        // What is wrong with the rule itself is said first.
        let set = self.files.set_of(&pages)?;
        named.map_or(Ok(()), |name| is_free(&self.pages, &name))?;
        self.pages = pages;
        Ok(set)
    }

    /// Files that another program has changed, and that stay as they are here, as something in them is unsaved.
    pub fn overtaken(&self) -> Vec<PathBuf> {
        self.pages.iter().filter(|page| page.is_overtaken()).map(|page| page.goal(None)).collect()
    }

    /// The files that `Save` would write.
    pub fn unsaved(&self, asked: Option<&Path>) -> Vec<PathBuf> {
        self.pages.iter().filter(|page| page.is_unsaved()).map(|page| page.goal(asked)).collect()
    }

    fn remove(&mut self, mut pages: Vec<RulePage>, name: &str) -> Result<RuleSet, String> {
        let page = place_of(&pages, name)?;
        let mut taken = None;
        pages[page].change(|doc| doc.remove(name).map(|rule| taken = Some(rule)))?;
        let set = self.keep(pages)?;
        if self.taken.len() >= MOST_TAKEN {
            self.taken.remove(0);
        }
        self.taken.extend(taken.map(|rule| TakenOut { name: name.to_owned(), page, rule }));
        Ok(set)
    }

    fn restore(&mut self, mut pages: Vec<RulePage>, name: &str) -> Result<RuleSet, String> {
        let at = self.taken.iter().rposition(|taken| taken.name == name);
        let at = at.ok_or_else(|| format!("no rule `{name}` was taken away since the files were read"))?;
        is_free(&pages, name)?;
        let TakenOut { page, rule, .. } = &self.taken[at];
        pages[*page].change(|doc| {
            doc.put_back(rule);
            Ok(())
        })?;
        let mut set = self.keep(pages)?;
        self.taken.remove(at);
        set.bring_back(name);
        Ok(set)
    }

    /// What would be wrong afterwards is found before the first file is written.
    fn save(&mut self, asked: Option<&Path>) -> Result<(), String> {
        let mut pages = self.pages.clone();
        let mut goals = Vec::new();
        for page in pages.iter_mut().filter(|page| page.is_unsaved()) {
            let goal = page.goal(asked);
            if goals.contains(&goal) {
                return Err(format!("{} would be written twice: `:rules save FILE` names another", goal.display()));
            }
            goals.push(goal.clone());
            page.prepare(goal, asked.is_some())?;
        }
        self.files.set_of(&pages)?;
        for page in pages.iter_mut().filter(|page| page.is_unsaved()) {
            page.write()?;
        }
        self.pages = pages;
        Ok(())
    }

    fn switch(&self, pages: &mut [RulePage], name: &str, on: bool) -> Result<(), String> {
        let Some(tag) = name.strip_prefix('#') else {
            return page_of(pages, name)?.change(|doc| doc.switch(name, on));
        };
        let tagged = self.files.set_of(&self.pages)?.status();
        let tagged: Vec<_> = tagged.into_iter().filter(|rule| rule.tags.iter().any(|it| it == tag)).collect();
        if tagged.is_empty() {
            return Err(format!("no rule has the tag `{tag}`"));
        }
        tagged.iter().try_for_each(|rule| page_of(pages, &rule.name)?.change(|doc| doc.switch(&rule.name, on)))
    }

    fn keep(&mut self, pages: Vec<RulePage>) -> Result<RuleSet, String> {
        let set = self.files.set_of(&pages)?;
        self.pages = pages;
        Ok(set)
    }
}

/// Where a new rule goes: behind those of the last file.
fn made_here(pages: &mut Vec<RulePage>) -> &mut RulePage {
    let at = pages.iter().rposition(RulePage::takes_new).unwrap_or_else(|| {
        pages.push(RulePage::made_here());
        pages.len() - 1
    });
    &mut pages[at]
}

fn page_of<'a>(pages: &'a mut [RulePage], name: &str) -> Result<&'a mut RulePage, String> {
    let at = place_of(pages, name)?;
    Ok(&mut pages[at])
}

/// A rule is known by its name, so one of a screen takes none that a rule of any file has.
fn is_free(pages: &[RulePage], name: &str) -> Result<(), String> {
    place_of(pages, name).map_or(Ok(()), |_| Err(format!("another rule is called `{name}`")))
}

/// The name of a rule, as TOML, that has one.
pub fn name_of(rule: &str) -> Option<String> {
    RuleDocument::parse(rule).ok()?.rules().into_iter().next().map(|rule| rule.name)
}

fn place_of(pages: &[RulePage], name: &str) -> Result<usize, String> {
    let has = |page: &RulePage| RuleDocument::parse(page.text()).is_ok_and(|doc| doc.has(name));
    pages.iter().position(has).ok_or_else(|| format!("there is no rule `{name}`"))
}

/// Within its file; at the edge of it nothing changes.
fn shift(pages: &mut [RulePage], name: &str, up: bool) -> Result<(), String> {
    page_of(pages, name)?.change(|doc| doc.shift(name, up).map(drop))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILE: &str = "# mine\n[[rule]]\nname = \"a\" # first\ntags = [\"t\"]\nwhen = \"~q\"\ndo = \"drop\"\n\n# then\n[[rule]]\nname = \"b\"\ntags = [\"t\"]\nwhen = \"~q\"\ndo = \"hold\"\n";
    const NEW: &str = "[[rule]]\nname = \"c\"\nwhen = \"~r\"\ndo = \"hold\"\n";

    fn names(set: &RuleSet) -> Vec<String> {
        let mark = |on| if on { "" } else { "!" };
        set.status().iter().map(|rule| format!("{}{}", mark(rule.is_on), rule.name)).collect()
    }

    #[test]
    fn desk_changes_rules_at_once_and_files_when_they_are_saved() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("rules.toml");
        fs::write(&file, FILE).expect("a file");
        let files = RuleFiles { places: vec![file.clone()], ..RuleFiles::default() };
        let (mut desk, set) = RuleDesk::open(files).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(names(&set), ["a", "b"]);
        let mut asked = |command| desk.carry_out(&command);
        let name = || "b".to_owned();
        assert_eq!(names(&asked(RuleCommand::Move { name: name(), up: true }).expect("it moves")), ["b", "a"]);
        assert_eq!(names(&asked(RuleCommand::Switch { name: name(), on: false }).expect("it is there")), ["!b", "a"]);
        let set = asked(RuleCommand::Add { text: NEW.to_owned() }).expect("a rule");
        assert_eq!(names(&set), ["!b", "a", "c"]);
        assert!(set.status().iter().all(|rule| rule.is_unsaved));
        let why = asked(RuleCommand::Add { text: NEW.replace("~r", "~rr") }).err().expect("no rule");
        assert!(why.contains("unknown operator `~rr`"), "{why}");
        assert!(
            asked(RuleCommand::Add { text: NEW.to_owned() })
                .err()
                .expect("taken")
                .contains("another rule is called `c`")
        );
        assert_eq!(
            names(&asked(RuleCommand::Switch { name: "#t".to_owned(), on: false }).expect("two")),
            ["!b", "!a", "c"]
        );
        assert_eq!(fs::read_to_string(&file).expect("a file"), FILE, "nothing is saved yet");
        let set = asked(RuleCommand::Save { file: None }).expect("it is saved");
        assert!(set.status().iter().all(|rule| !rule.is_unsaved && rule.place == file.display().to_string()));
        let saved = fs::read_to_string(&file).expect("a file");
        assert!(saved.contains("# first") && saved.contains("# then") && saved.ends_with(NEW), "{saved}");
    }

    #[test]
    fn desk_without_files_saves_where_it_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut desk, set) = RuleDesk::open(RuleFiles::default()).unwrap_or_else(|why| panic!("{why}"));
        assert!(set.is_empty());
        let set = desk.carry_out(&RuleCommand::Add { text: NEW.to_owned() }).expect("a rule");
        assert_eq!((set.status()[0].place.as_str(), set.status()[0].is_unsaved), ("", true));
        let file = dir.path().join("new.toml");
        desk.carry_out(&RuleCommand::Save { file: Some(file.clone()) }).expect("it is saved");
        assert_eq!(fs::read_to_string(&file).expect("a file"), NEW);
        assert_eq!(desk.watched(), [file]);
    }

    #[test]
    fn save_keeps_the_link_and_the_permissions_of_a_file_and_what_others_wrote() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().expect("a directory");
        let (real, link) = (dir.path().join("real.toml"), dir.path().join("link.toml"));
        fs::write(&real, FILE).expect("a file");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("they are ours");
        symlink("real.toml", &link).expect("a link");
        let files = RuleFiles { places: vec![link.clone()], ..RuleFiles::default() };
        let (mut desk, _) = RuleDesk::open(files).unwrap_or_else(|why| panic!("{why}"));
        let off = || RuleCommand::Switch { name: "a".to_owned(), on: false };
        desk.carry_out(&off()).expect("it is there");
        assert_eq!(desk.unsaved(None), std::slice::from_ref(&link));
        desk.carry_out(&RuleCommand::Save { file: None }).expect("it is saved");
        assert!(link.symlink_metadata().expect("it is there").is_symlink());
        assert_eq!(real.metadata().expect("it is there").permissions().mode() & 0o777, 0o640);
        assert!(fs::read_to_string(&real).expect("a file").contains("on = false"));
        desk.carry_out(&RuleCommand::Remove { name: "b".to_owned() }).expect("it is there");
        let others = format!("# of another\n{FILE}");
        fs::write(&real, &others).expect("a file");
        desk.reread().expect("it can be read");
        assert_eq!(desk.overtaken(), std::slice::from_ref(&link));
        let why = desk.carry_out(&RuleCommand::Save { file: None }).err().expect("it is not overwritten");
        assert!(why.contains("was changed by another program"), "{why}");
        let set = desk.carry_out(&RuleCommand::Revert).expect("it can be read");
        assert_eq!((names(&set), desk.unsaved(None).len()), (vec!["a".to_owned(), "b".to_owned()], 0));
        assert!(desk.overtaken().is_empty());
        assert_eq!(fs::read_to_string(&real).expect("a file"), others);
    }

    #[test]
    fn save_leaves_a_file_alone_that_is_not_in_force() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("rules.toml");
        fs::write(&file, NEW).expect("a file");
        let (mut desk, _) = RuleDesk::open(RuleFiles::default()).unwrap_or_else(|why| panic!("{why}"));
        desk.carry_out(&RuleCommand::Add { text: NEW.to_owned() }).expect("a rule");
        let why = desk.carry_out(&RuleCommand::Save { file: Some(file.clone()) }).err().expect("the same name twice");
        assert!(why.contains("another rule is called `c`"), "{why}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), NEW);
        assert!(desk.carry_out(&RuleCommand::Revert).expect("nothing is left").is_empty());
    }

    #[test]
    fn rule_that_was_removed_comes_back_as_it_stood() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, other) = (dir.path().join("one.toml"), dir.path().join("other.toml"));
        fs::write(&one, FILE).expect("a file");
        fs::write(&other, NEW).expect("a file");
        let files = RuleFiles { places: vec![one, other], ..RuleFiles::default() };
        let (mut desk, _) = RuleDesk::open(files).unwrap_or_else(|why| panic!("{why}"));
        let mut asked = |command| desk.carry_out(&command);
        let named = |name: &str| name.to_owned();
        asked(RuleCommand::Switch { name: named("a"), on: false }).expect("it is there");
        for name in ["a", "c"] {
            asked(RuleCommand::Remove { name: named(name) }).expect("it is there");
        }
        let set = asked(RuleCommand::Restore { name: named("c") }).expect("it was there");
        assert_eq!(names(&set), ["b", "c"]);
        let set = asked(RuleCommand::Restore { name: named("a") }).expect("it was there");
        assert_eq!(names(&set), ["!a", "b", "c"]);
        let set = asked(RuleCommand::Switch { name: named("a"), on: true }).expect("it is there");
        assert!(set.status().iter().all(|rule| !rule.is_unsaved), "all is to the byte as in the files");
        let why = asked(RuleCommand::Restore { name: named("a") }).err().expect("it is there");
        assert!(why.contains("no rule `a` was taken away"), "{why}");
        asked(RuleCommand::Remove { name: named("b") }).expect("it is there");
        let why = asked(RuleCommand::Add { text: NEW.replace("\"c\"", "\"a\"") }).err().expect("of the other file");
        assert_eq!(why, "another rule is called `a`");
        asked(RuleCommand::Add { text: NEW.replace("\"c\"", "\"b\"") }).expect("the name is free");
        let why = asked(RuleCommand::Restore { name: named("b") }).err().expect("the name is taken");
        assert!(why.contains("another rule is called `b`"), "{why}");
        asked(RuleCommand::Revert).expect("the files are there");
        asked(RuleCommand::Restore { name: named("b") }).err().expect("it is there from its file");
    }

    fn ping() -> crate::envelope::Envelope {
        use crate::envelope::{Direction, Envelope, Seq, SessionId, Via};
        let call = crate::message::Message::new(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
        Envelope::forwarded(Seq(4), SessionId::random(), Direction::ToServer, Via::Http, call)
    }

    #[test]
    fn rule_that_comes_back_goes_on_counting_and_one_that_is_new_does_not() {
        let (mut desk, set) = RuleDesk::open(RuleFiles::default()).unwrap_or_else(|why| panic!("{why}"));
        let book = crate::rules::RuleBook::new(set, |_| ());
        let mut asked = |command| book.replace(desk.carry_out(&command).unwrap_or_else(|why| panic!("{why}")));
        let (name, text) = ("c".to_owned(), NEW.replace("~r", "~q").replace("hold", "log"));
        let hits = || book.current().status().iter().map(|rule| rule.hits).collect::<Vec<_>>();
        asked(RuleCommand::Add { text: text.clone() });
        book.current().decide(&mut ping(), &crate::filter::NothingKnown);
        asked(RuleCommand::Remove { name: name.clone() });
        asked(RuleCommand::Add { text: NEW.replace("\"c\"", "\"d\"") });
        asked(RuleCommand::Restore { name: name.clone() });
        assert_eq!(hits(), [1, 0], "it comes back before the one that was added since");
        asked(RuleCommand::Remove { name });
        asked(RuleCommand::Add { text });
        assert_eq!(hits(), [0, 0]);
    }

    #[test]
    fn rule_that_did_not_change_keeps_its_count() {
        use crate::envelope::Seq;
        let mut call = ping();
        let (mut desk, _) = RuleDesk::open(RuleFiles::default()).unwrap_or_else(|why| panic!("{why}"));
        let text = NEW.replace("~r", "~q").replace("hold", "log");
        let before = desk.carry_out(&RuleCommand::Add { text: text.clone() }).expect("a rule");
        before.decide(&mut call, &crate::filter::NothingKnown);
        let mut after = desk.carry_out(&RuleCommand::Add { text: text.replace("\"c\"", "\"d\"") }).expect("a rule");
        after.take_over(&before);
        let counts: Vec<_> = after.status().iter().map(|rule| (rule.hits, rule.last_seq)).collect();
        assert_eq!(counts, [(1, Some(Seq(4))), (0, None)]);
    }
}
