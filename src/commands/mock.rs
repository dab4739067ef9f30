//! `tapline mock`: the server of a tape, behind the doors of any other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::client_trials::ClientTrials;
use super::observe::{observe, report_config, start_core};
use super::output::check_is_closed;
use super::setup::{LaunchedBy, behind_front_door, core_settings, played_target};
use super::stdio::launched;
use super::tape::find_each;
use crate::app::{GRACE, Settings};
use crate::cli::{LiveValueArg, MockArgs, OnMissArg, TransportArg, server_url};
use crate::config::Config;
use crate::config::options::{self, FrontOptions, WatchOptions};
use crate::config::upstreams::UpstreamServer;
use crate::control::short_name;
use crate::envelope::{Author, Via};
use crate::event::Origin;
use crate::exit::{ExitError, print_stderr};
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::mcp::error_code::ErrorCode;
use crate::proxy::front::routes::MountSpec;
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::tape::mock::{
    LiveValues, MockFallback, MockOptions, MockTally, MockedFields, MutationPlan, OpenUpstream, TapeMock,
};
use crate::upstream::retry::Retry;
use crate::upstream::stdio::CommandLine;

/// Of this machine, and whichever is free.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Answers clients until it is told to stop, or the client that has launched it says nothing more.
///
/// # Errors
/// Where a tape cannot be read, or what is asked for cannot be done: exit status 2.
pub(super) async fn run(mut args: MockArgs, config: Config) -> Result<ExitCode, ExitError> {
    args.tape = find_each(&args.tape, args.common.watch.tapes.as_ref(), &config)?;
    let options = mock_options(&mut args)?;
    let real = real_server(&args)?;
    let fallback = real.as_ref().map(|real| real.fallback(&args)).transpose()?;
    let trials = client_trials(&mut args, &options);
    let mock = TapeMock::open(&args.tape, options, fallback).map_err(ExitError::usage)?;
    for trouble in mock.troubles() {
        print_stderr(&format!("tapline: {trouble}"));
    }
    let (strict, launched_by) = (args.strict, if args.stdio { LaunchedBy::Client } else { LaunchedBy::Operator });
    let longest = options::longest_message(args.common.max_message, &config.keys);
    let (settings, watching) = settings(args, &mock, launched_by, &config)?;
    let status = match launched_by {
        LaunchedBy::Client => launched(settings, watching, longest, &config).await.map(ExitCode::from),
        LaunchedBy::Operator => {
            let trials = trials.map(|trials| ClientTrials { tapes: settings.tapes.clone(), ..trials });
            let (core, signals) = start_core(settings).await?;
            report_config(&config, &core);
            match trials {
                Some(trials) => trials.run(&mock, core, signals).await,
                None => observe(core, signals, watching).await,
            }
        }
    }?;
    end(real, &mock.tally(), launched_by).await;
    // A test ends it by a signal: what counts is whether the test stayed on the tape.
    Ok(match (strict, mock.tally().missed) {
        (false, _) => status,
        // What a client was to be told may stand on a line that cannot be read.
        (true, 0) if !mock.is_damaged() => ExitCode::SUCCESS,
        (true, _) => ExitCode::FAILURE,
    })
}

/// What is tried at a client, where one is given; it may ask at any port.
fn client_trials(args: &mut MockArgs, options: &MockOptions) -> Option<ClientTrials> {
    let client = args.client.take()?;
    args.front.listen.get_or_insert(ANY_PORT);
    let seed = options.mutations.map_or(0, |plan| plan.seed);
    Some(ClientTrials { client, seed, most_runs: args.most_runs.get(), patience: args.timeout, tapes: None })
}

/// Lets go of the real server, and says what came of it all.
async fn end(real: Option<RealServer>, tally: &MockTally, launched_by: LaunchedBy) {
    if let Some(real) = real {
        real.close().await;
    }
    if launched_by == LaunchedBy::Operator || tally.missed > 0 {
        print_stderr(&format!("tapline: mock: {tally}"));
    }
}

/// The real server behind a mock, with a spine of its own: what passes there was decided on in front of the mock.
struct RealServer(Arc<SessionTable>);

fn real_server(args: &MockArgs) -> Result<Option<RealServer>, ExitError> {
    let server = match (&args.fallback, CommandLine::new(&args.command)) {
        (Some(url), _) => {
            UpstreamServer::Url { url: server_url(url), transport: TransportArg::Auto, headers: Vec::new() }
        }
        (None, Some(command)) => UpstreamServer::Command(command),
        (None, None) if args.record => {
            let text = "`--record` adds what a real server says: give one by `--fallback URL` or `-- COMMAND`";
            return Err(ExitError::usage(anyhow::anyhow!(text)));
        }
        (None, None) => return Ok(None),
    };
    let (journal, _) = Journal::start(None);
    let proxy = Proxy::new(Chain::default(), Gate::default(), journal, Stop::default(), Retry::none());
    Ok(Some(RealServer(SessionTable::new(proxy, played_target(server)?))))
}

impl RealServer {
    fn fallback(&self, args: &MockArgs) -> Result<MockFallback, ExitError> {
        let (table, runtime) = (self.0.clone(), Handle::current());
        let open: OpenUpstream = Box::new(move || {
            // Whoever asks does so on a thread of the front door, which ends before the real server is let go of.
            let _here = runtime.enter();
            let connection = table.open(Via::Http, Origin::Client, Some(Author::Tapline))?;
            Ok(Arc::new(connection))
        });
        let extended = args.tape.first().filter(|_| args.record).map(PathBuf::as_path);
        extended.map_or(Ok(()), check_is_closed).map_err(anyhow::Error::msg)?;
        MockFallback::new(open, extended).map_err(ExitError::usage)
    }

    async fn close(self) {
        for connection in self.0.live() {
            self.0.close(connection.session.id(), "the mock ended").await;
        }
    }
}

fn mock_options(args: &mut MockArgs) -> Result<MockOptions, ExitError> {
    let mutations = args.mutate.as_deref().map(str::parse::<MutationPlan>).transpose();
    if args.on_miss == OnMissArg::Hold {
        let misses = format!("~s2c ~code {}", ErrorCode::NotOnTape.number());
        let hold = args.common.watch.hold.take();
        args.common.watch.hold = Some(hold.map_or_else(|| misses.clone(), |hold| format!("({hold}) | ({misses})")));
    }
    Ok(MockOptions {
        order: args.order,
        repeats: args.repeat,
        speed: args.speed,
        fields: MockedFields { ignore: std::mem::take(&mut args.ignore), only: std::mem::take(&mut args.only) },
        tells_nearest: args.on_miss != OnMissArg::Error,
        mutations: mutations.map_err(|why| ExitError::usage(anyhow::anyhow!("`--mutate`: {why}")))?,
        live: LiveValues {
            times: args.live.contains(&LiveValueArg::Times),
            ids: args.live.contains(&LiveValueArg::Ids),
            echo: args.live.contains(&LiveValueArg::Echo),
        },
    })
}

fn settings(
    args: MockArgs,
    mock: &Arc<TapeMock>,
    launched_by: LaunchedBy,
    config: &Config,
) -> Result<(Settings, WatchOptions), ExitError> {
    let target = mock.target();
    let name = short_name(&target.label());
    let (common, watching) = core_settings(args.common, vec![MountSpec::sole(target)], &name, launched_by, config)?;
    let front = FrontOptions::of(args.front, &config.keys);
    let settings = match launched_by {
        LaunchedBy::Client => Settings { grace: front.grace.unwrap_or(GRACE), ..common },
        LaunchedBy::Operator => behind_front_door(common, front, config),
    };
    Ok((settings, watching))
}
