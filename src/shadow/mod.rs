//! A second server that is asked what the clients ask the first, in parallel, and whose replies are compared with the first's.
//!
//! The shadow is a reader of events, like a screen: it hears what has passed, on threads and a runtime of its own, so it can
//! neither delay nor break what it hears of. What it cannot keep up with it skips, and counts. Of a client it knows the
//! messages and nothing else: no header, cookie or token of a client's is ever sent to the shadow, which is another origin.
//! Its sessions are sessions like all others, recorded and shown, on a spine beside the operator's: nothing holds them.

mod driver;
mod feed;
mod options;
mod place;
mod policy;
mod questions;
mod session;
mod tally;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::event::{Event, Feed, Level, LogLine};
use crate::journal::Journal;
use crate::json::{PathPattern, PathPatternError};
use crate::proxy::front::routes::Mounts;
use crate::proxy::sessions::SessionTable;
use crate::secret::Label;
use crate::tape::compare::Rules;
use crate::upstream::http::ExtraHeaders;
use crate::upstream::target::Target;
use crate::variables::Headers;

pub use self::options::{Options, WritePolicy};
pub use self::place::{PlaceError, ShadowPlace};
pub use self::tally::ShadowTally;

/// Events that may wait for the shadow; of what is beyond it hears nothing.
const FEED: usize = 65_536;
/// How long the shadow may take for its last replies when tapline ends, and then for its servers to leave.
const LAST_REPLIES: Duration = Duration::from_millis(500);
const LEAVE: Duration = Duration::from_secs(1);
/// Servers that are slower to leave are waited for in the background; past the end of the process it is the guardian's part.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// `[shadow]` of the configuration.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    pub url: Option<String>,
    pub command: Option<ShadowCommand>,
    /// The name of the upstream that it is compared with, where there are several; else the one at `/mcp`.
    pub upstream: Option<String>,
    pub writes: bool,
    /// Paths of reply values not to compare.
    pub ignore: Vec<String>,
    /// Sent to the shadow, and nothing else with them.
    pub headers: Headers,
}

/// What the command line says of it, over the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub place: Option<ShadowPlace>,
    pub writes: bool,
    pub headers: ExtraHeaders,
    pub ignore: Vec<PathPattern>,
}

/// A shadow as it was asked for.
#[derive(Clone, Debug)]
pub struct ShadowPlan {
    pub place: ShadowPlace,
    pub upstream: Option<String>,
    pub headers: ExtraHeaders,
    pub options: Options,
}

/// Why a shadow cannot be what it is to be.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("a shadow is a `url` or a `command`, not both")]
    TwoPlaces,
    #[error("no shadow is given: `--shadow` takes a URL or a command")]
    NoPlace,
    #[error("the shadow's command: {0}")]
    Command(#[from] PlaceError),
    #[error("invalid shadow URL `{}`", Label::of_url(.0))]
    Url(String),
    #[error(transparent)]
    Ignore(#[from] PathPatternError),
}

impl Section {
    /// Whether it can be what it says. The command line may still have to say where the shadow is.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(self) -> Result<(), PlanError> {
        match self.plan(Flags::default()) {
            Ok(_) | Err(PlanError::NoPlace) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the configuration and the command line want together; nothing where neither names a place.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn plan(self, flags: Flags) -> Result<Option<ShadowPlan>, PlanError> {
        let is_blank = self.headers.headers.is_empty() && self.ignore.is_empty() && !self.writes;
        let no_flags = flags.headers.is_empty() && flags.ignore.is_empty() && !flags.writes;
        let place = match (flags.place, self.url, self.command) {
            (Some(place), ..) => place,
            (None, Some(_), Some(_)) => return Err(PlanError::TwoPlaces),
            (None, Some(url), None) => match url.parse()? {
                place @ ShadowPlace::Url(_) => place,
                ShadowPlace::Command(_) => return Err(PlanError::Url(url)),
            },
            (None, None, Some(ShadowCommand::List(words))) => place::of_words(&words)?,
            (None, None, Some(ShadowCommand::Line(line))) => place::command(&line)?,
            (None, None, None) if is_blank && no_flags => return Ok(None),
            (None, None, None) => return Err(PlanError::NoPlace),
        };
        let mut headers = self.headers.headers;
        headers.retain(|(name, _)| flags.headers.iter().all(|(flag, _)| flag != name));
        headers.extend(flags.headers);
        let ignore = self.ignore.iter().map(|path| path.parse()).collect::<Result<Vec<PathPattern>, _>>()?;
        let rules = Rules { ignore: ignore.into_iter().chain(flags.ignore).collect(), ..Rules::default() };
        let writes = if self.writes || flags.writes { WritePolicy::Sent } else { WritePolicy::Kept };
        Ok(Some(ShadowPlan {
            place,
            upstream: self.upstream,
            headers,
            options: Options { writes, rules, ..Options::default() },
        }))
    }
}

/// A command, as its words or as one line that is split like a shell does.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a list of words, or one line")]
pub enum ShadowCommand {
    List(Vec<String>),
    Line(String),
}

/// The headers may hold credentials, and are left out.
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("url", &self.url).field("command", &self.command).finish_non_exhaustive()
    }
}

/// What a shadow is and how it is compared.
#[derive(Clone)]
pub struct Settings {
    pub target: Target,
    /// The name of the upstream that it is compared with, where there are several; else the one at `/mcp`.
    pub upstream: Option<String>,
    pub options: Options,
}

/// Why a shadow did not start.
#[derive(Debug, thiserror::Error)]
pub enum ShadowStartError {
    #[error("a shadow is compared with the upstream at `/mcp`, and there is none; name one in `upstream`")]
    NoDefault,
    #[error("no upstream is called `{0}`, which the shadow is to be compared with")]
    NoUpstream(String),
    #[error("no thread for the shadow: {0}")]
    NoThread(#[from] std::io::Error),
}

/// A running shadow. Dropped, it ends at once.
pub struct Shadow {
    tally: ShadowTally,
    /// Sessions that are lived again.
    running: watch::Receiver<usize>,
    end: CancellationToken,
    _guard: DropGuard,
}

impl Shadow {
    /// Listens to what passes from now on.
    ///
    /// # Errors
    /// Where the upstream that it is to be compared with is not there, or no thread is to be had.
    pub fn start(settings: Settings, mounts: &Mounts) -> Result<Self, ShadowStartError> {
        let primary = match &settings.upstream {
            None => mounts.default().ok_or(ShadowStartError::NoDefault)?,
            Some(name) => mounts
                .iter()
                .find(|mount| mount.name() == Some(name))
                .ok_or_else(|| ShadowStartError::NoUpstream(name.clone()))?,
        };
        let proxy = mounts.proxy();
        let journal = proxy.journal().clone();
        let table = SessionTable::new(proxy.without_interception(), settings.target);
        let tally = ShadowTally::new(journal.clone());
        let text = format!("what clients ask is asked of {} as well, and compared", table.target().description());
        journal.publish(Event::Log(LogLine::new(Level::Info, "shadow", text)));
        let (running, watched) = watch::channel(0);
        let end = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let context = driver::DriverContext {
            table,
            options: Arc::new(settings.options),
            tally: tally.clone(),
            upstream: primary.name().map(str::to_owned),
            running: Arc::new(running),
            end: end.clone(),
        };
        listen(&journal, context, runtime.handle().clone())?;
        let ended = (end.clone(), watched.clone());
        std::thread::Builder::new().name("shadow".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let (end, mut running) = ended;
                end.cancelled().await;
                let _ = tokio::time::timeout(STRAGGLERS, running.wait_for(|running| *running == 0)).await;
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { tally, running: watched, _guard: end.clone().drop_guard(), end })
    }

    /// What was compared, counted.
    pub fn tally(&self) -> &ShadowTally {
        &self.tally
    }

    /// Waits a moment for what is still to be compared, and ends the shadow's sessions. The clients' have ended before.
    pub async fn finish(mut self) {
        let all_ended = |running: &usize| *running == 0;
        if tokio::time::timeout(LAST_REPLIES, self.running.wait_for(all_ended)).await.is_err() {
            self.end.cancel();
            let _ = tokio::time::timeout(LEAVE, self.running.wait_for(all_ended)).await;
        }
    }
}

/// Hears events on a thread of its own.
fn listen(journal: &Journal, context: driver::DriverContext, runtime: tokio::runtime::Handle) -> std::io::Result<()> {
    let (feed, reader) = Feed::bounded(FEED);
    let subscription = journal.subscribe(feed);
    let router = feed::FeedRouter::new(context, runtime, subscription);
    std::thread::Builder::new().name("shadow-feed".to_owned()).spawn(move || router.run(&reader))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::upstream::stdio::CommandLine;

    fn section(text: &str) -> Section {
        toml::from_str(text).expect("it is a section")
    }

    fn plan(text: &str, flags: Flags) -> Result<Option<ShadowPlan>, String> {
        section(text).plan(flags).map_err(|error| error.to_string())
    }

    #[test]
    fn plan_prefers_the_command_line() {
        let text = r#"
            command = "python 'my server.py'"
            writes = true
            ignore = [".result._meta"]
            headers = { authorization = "Bearer old", x-team = "blue" }
        "#;
        let alone = plan(text, Flags::default()).expect("it makes sense").expect("there is a place");
        let words = ["python".to_owned(), "my server.py".to_owned()];
        assert_eq!(alone.place, ShadowPlace::Command(CommandLine::new(&words).expect("there is a program")));
        let list = plan(r#"command = ["python", "my server.py"]"#, Flags::default()).expect("it makes sense");
        assert_eq!(list.map(|plan| plan.place), Some(alone.place));
        assert_eq!((alone.options.writes, alone.options.rules.ignore.len()), (WritePolicy::Sent, 1));
        let flags = Flags {
            place: Some(ShadowPlace::Url("http://127.0.0.1:1/mcp".to_owned())),
            headers: vec![(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer new"))],
            ..Flags::default()
        };
        let both = plan(text, flags.clone()).expect("it makes sense").expect("there is a place");
        assert_eq!(Some(both.place), flags.place);
        let headers: Vec<_> = both.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(headers, [("x-team", &b"blue"[..]), ("authorization", b"Bearer new")]);
    }

    #[test]
    fn plan_that_cannot_be_is_an_error() {
        assert!(matches!(plan("", Flags::default()), Ok(None)));
        for (text, why) in [
            ("url = 'http://x'\ncommand = 'y'", "not both"),
            ("url = 'x'", "invalid shadow URL `x`"),
            ("command = \"a 'b\"", "missing closing quote"),
            ("command = ' '", "neither a URL nor a command"),
            ("command = []", "neither a URL nor a command"),
            ("writes = true", "`--shadow` takes"),
            ("command = 'x'\nignore = ['.']", "is not a path"),
        ] {
            let told = plan(text, Flags::default()).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
        for text in ["uri = 'http://x'", "command = 'x'\nheaders = { 'a b' = 'c' }"] {
            assert!(toml::from_str::<Section>(text).is_err(), "{text}");
        }
        assert!(section("writes = true").check().is_ok(), "the command line says where");
        let secret = section("url = 'x'\nheaders = { authorization = 'Bearer s3cret' }");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
