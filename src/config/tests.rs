use proptest::prelude::*;

use super::options::{
    ControlOptions, FrontOptions, UpstreamChoice, UpstreamChoiceError, WatchOptions, upstream, upstreams,
};
use super::source::ConfigSource;
use super::*;
use crate::cli::{Cli, CliCommand, RunArgs};
use crate::event::OnQuit;

fn source(text: &str) -> ConfigSource {
    ConfigSource::of(Path::new("/there"), text.to_owned())
}

fn config(texts: &[&str]) -> Config {
    Config::of(&texts.iter().map(|text| source(text)).collect::<Vec<_>>(), &[])
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with it, without the path.
fn fault(text: &str) -> String {
    let error = Config::of(&[source(text)], &[]).expect_err(text).to_string();
    let (path, rest) = error.split_once(':').expect("a path comes first");
    assert!(path.starts_with('/'), "{error}");
    rest.to_owned()
}

fn run(words: &[&str]) -> RunArgs {
    use clap::Parser as _;
    match Cli::parse_from([&["tapline", "run"], words].concat()).command {
        CliCommand::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

fn served(words: &[&str], config: &Config) -> Result<Vec<String>, UpstreamChoiceError> {
    let text = |it: UpstreamChoice| {
        let name = it.name.map_or_else(String::new, |name| format!("{name} "));
        format!("{}{name}{}", if it.is_default { "* " } else { "" }, it.server.label())
    };
    upstreams(run(words).target, config).map(|all| all.into_iter().map(text).collect())
}

#[test]
fn mistake_has_its_line_and_the_nearest_word() {
    let mut otherwise = Vec::new();
    for (text, expected) in [
        (
            "# x\nlisen = \"127.0.0.1:1\"",
            "2:1: unknown key `lisen`; did you mean `listen`?\n  |\n2 | lisen = \"127.0.0.1:1\"\n  | ^^^^^",
        ),
        ("on-quit = \"fail\"", "1:1: unknown key `on-quit`; did you mean `on_quit`?"),
        ("[upstream.a]\nurl = \"http://a\"", "1:2: unknown key `upstream`; did you mean `upstreams`?"),
        ("[upstreams.a]\nurll = \"http://a\"", "2:1: unknown key `urll`; did you mean `url`?"),
        (
            "[upstreams.a]\nzzzzz = 1",
            "2:1: unknown key `zzzzz`; known here: `url`, `command`, `transport`, `headers`, `env`",
        ),
        ("on_quit = \"forwad\"", "1:11: `forwad` is not known here; did you mean `forward`?"),
        (
            "headless = 1",
            "1:12: invalid type: integer `1`, expected a boolean\n  |\n1 | headless = 1\n  |            ^",
        ),
        ("\tlisten = \"här\"", "1:11: invalid address `här`"),
        ("name = \"ä\"\nlisten = true", "2:10: invalid type: boolean `true`, expected a string"),
        ("keep_alive = 10", "1:14: invalid type: integer `10`, expected a string"),
        ("keep_alive = \"0s\"", "1:14: a time above zero is needed"),
        ("keep_alive = \"soon\"", "1:14: invalid duration `soon`"),
        ("max_body = 0", "1:12: invalid value: integer `0`, expected a nonzero"),
        ("control = true", "1:11: invalid value: boolean `true`, expected an address such as `127.0.0.1:0`, or false"),
        ("hold = \"~m (\"", "1:8: "),
        ("log = \"a=b=c\"", "1:7: no filter of the log"),
        ("listen = 127.0.0.1:7070", "1:15: invalid float; text stands in quotes"),
        ("on_quit = fail", "1:11: invalid boolean; text stands in quotes"),
        ("name = \"a\"\nname = \"b\"", "2:1: `name` stands here for the second time"),
        (
            "[upstreams.a]\nurl = \"http://a\"\n\n[upstreams.a]\nurl = \"http://b\"",
            "4:12: `a` stands here for the second time",
        ),
        ("upstreams = 3", "1:13: invalid type: integer `3`, expected a table"),
        ("[upstreams.mcp]\nurl = \"http://a\"", "1:12: no upstream can be called `mcp`: that path is tapline's own"),
        ("[upstreams.\"a b\"]\nurl = \"http://a\"", "1:12: no upstream can be called `a b`"),
        ("[upstreams.a]", "1:1: an upstream has a `url` or a `command`"),
        (
            "[upstreams.a]\nurl = \"http://a\"\ncommand = [\"a\"]",
            "1:1: an upstream has a `url` or a `command`: this has both",
        ),
        ("[upstreams.a]\nurl = \"here\"", "2:7: `here` is not a URL"),
        ("[upstreams.a]\nurl = \"ftp://a\"", "2:7: `ftp://a`: only http and https"),
        ("[upstreams.a]\ncommand = []", "2:11: a command has a program"),
        (
            "[upstreams.a]\ncommand = \"npx x\"",
            "2:11: invalid type: string \"npx x\", expected a list: it stands in `[` and `]`",
        ),
        (
            "[upstreams.a]\nurl = \"http://a\"\ntransport = \"tcp\"",
            "3:13: `tcp` is not known here; did you mean `http`?",
        ),
        ("[upstreams.a]\ncommand = [\"a\"]\nheaders = { a = \"b\" }", "1:1: `headers` are for a `url`"),
        ("[upstreams.a]\nurl = \"http://a\"\nenv = { A = \"b\" }", "1:1: `env` is for a `command`"),
        ("[upstreams.a]\nurl = \"http://a\"\nstateless = true", "1:1: `stateless` is for a `command`"),
        ("[upstreams.a]\nurl = \"http://a\"\nheaders = { \"a b\" = \"c\" }", "3:13: `a b` is not a header name"),
        ("[auth]\nheader = \"x-api-key\"", "1:1: `[auth]` admits no client"),
        ("[auth]\ntokens = [{ name = \"a\", sha256 = \"s3cret\" }]", "2:34: must be the 64 hex digits"),
        (
            "[auth.jwt]\nissuer = \"i\"\naudience = \"a\"\njwks = \"no/such/file\"",
            "4:8: the keys in `no/such/file` cannot be read",
        ),
        ("[[limits]]\nper = \"session\"\nrate = \"0/s\"", "3:8: invalid rate `0/s`"),
        ("[[limits]]\nper = \"session\"\nrate = \"1/s\"\nburst = 0", "4:9: "),
        ("[pool]\nspare = 1", "2:1: unknown key `spare`; did you mean `spares`?"),
        ("[pool]\nmax = 0", "2:"),
        (
            "listen = \"127.0.0.1:1\"\n[[limits]]\nper = \"token\"\nrate = \"1/s\"",
            "2:1: the limit of 1/s per token needs `[auth]`",
        ),
        ("default = \"a\"", "1:11: no upstream is called `a`: there is no `[upstreams.a]`"),
        (
            "default = \"wether\"\nupstreams.weather.url = \"http://a\"",
            "1:11: no upstream is called `wether`; did you mean `weather`?",
        ),
        ("default = \"x\"\nupstreams.a.url = \"http://a\"", "1:11: no upstream is called `x`; there are `a`"),
        ("[upstreams.a]\ncommand = [\"a\"]\nenv = { A = \"${B\" }", "3:13: `${` without its `}`"),
        (
            "[shadow]\nheaders = { authorization = \"Bearer ${TAPLINE_TEST_UNSET}\" }",
            "2:29: the environment variable `TAPLINE_TEST_UNSET` is not set",
        ),
        ("[otlp]\nheaders = { x-a = \"${TAPLINE_TEST_UNSET}\" }", "2:19: the environment variable"),
        ("[otlp]\nheaders = { \"no name\" = \"x\" }", "2:13: `no name` is not a header name"),
    ] {
        let told = fault(text);
        if !told.starts_with(expected) {
            otherwise.push(format!("{text}\n---\n{told}\n"));
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
}

#[test]
fn mistake_found_later_points_to_the_key_it_names() {
    let source = source("x = 1\n[pool]\nspares = 4\nmax = 3\n[upstreams.a]\npool = { max = 0 }\n");
    for (path, why, place) in [
        (&["pool"][..], "`spares` is 4, and `max` is 3", "3:10: "),
        (&["pool"], "it is no use: max is too small", "4:7: "),
        (&["pool"], "it is no use", "2:1: "),
        (&["upstreams", "a", "pool"], "`max` is 0", "6:16: "),
        (&["x"], "`max` is 0", "1:5: "),
        (&["y"], "it is no use", "1:1: "),
    ] {
        let told = source.fault_in(path, why).to_string();
        assert!(told.contains(&format!(":{place}{why}\n")), "{told}");
    }
}

#[test]
fn mistake_in_a_masked_value_is_marked_where_it_stood() {
    for (text, told) in [
        (
            "[auth]\ntokens = \"abc\"",
            "2:10: it must be a list: it stands in `[` and `]`\n    |\n  2 | tokens = ...\n    |          ^^^",
        ),
        (
            "[keys]\n  api_key = 4",
            "2:13: a key is expected, such as `\"f\"` or `\"ctrl f\"`, or a list of keys\n    |\n  2 |   api_key = ...\n    |             ^^^",
        ),
        (
            "[auth]\ntokens = [\"abc\"]",
            "2:11: it must be a table: it stands in `{` and `}`\n    |\n  2 | tokens = ...\n    |          ^^^",
        ),
    ] {
        let fault = fault(text).replace("\n  |", "\n    |").replace("\n2 |", "\n  2 |");
        assert!(fault.ends_with(told), "{fault}");
    }
}

#[test]
fn mistake_never_quotes_a_secret() {
    for text in [
        "[upstreams.a]\nurl = \"http://a\"\nheaders = { authorization = \"Bearer s3cret\\u0007\" }",
        "[upstreams.a]\nurl = \"http://a\"\nheaders = { authorization = 53 }",
        "[upstreams.a]\nurl = \"http://a\"\nheaders = { authorization = \"Bearer s3cret }",
        "[upstreams.a]\nurl = \"http://a\"\n[upstreams.a.headers]\nx-mine = s3cret",
        "[upstreams.a]\nurl = \"http://a\"\n[upstreams.a.headers]\nx-mine = \"\"\"\ns3cret\\x\"\"\"",
        "[upstreams.a]\ncommand = [\"a\"]\n[upstreams.a.env]\nMINE = [\"s3cret\"]",
        "[upstreams.a]\ncommand = [\"a\"]\nenv = {\n  MINE = \"s3cret\", OTHER = 53,\n}",
        "api_token = \"s3cret\"",
        "[shadow]\nheaders = { x-mine = \"s3cret\\u0007\" }",
        "[otlp.headers]\nx-mine = \"s3cret\\n\"",
        "[otlp]\nheaders = { api-key = 53 }",
    ] {
        let told = fault(text);
        assert!(!told.contains("s3cret") && !told.contains("53"), "{told}");
        assert!(told.contains(" ...\n") || told.contains("= \n"), "{told}");
    }
    let config = config(&[
        "[upstreams.a]\nurl = \"http://a\"\nheaders = { x-mine = \"s3cret\" }\n[upstreams.b]\ncommand = [\"b\"]\nenv = { B = \"s3cret\" }\n\
         [shadow]\ncommand = \"b\"\nheaders = { x-mine = \"s3cret\" }\n[otlp]\nheaders = { x-mine = \"s3cret\" }",
    ]);
    assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
}

#[test]
fn layers_are_flags_then_the_near_file_then_the_far_one() {
    let config = config(&[
        "listen = \"127.0.0.1:1\"\nallow_hosts = [\"near\"]\nrecord = false\non_quit = \"fail\"\ncontrol = false",
        "listen = \"127.0.0.1:2\"\nallow_hosts = [\"far\"]\nmax_body = 3\nkeep_alive = \"2s\"\ntapes = \"far\"\nascii = true\nname = \"far\"",
    ]);
    let keys = &config.keys;
    let front = FrontOptions::of(run(&["--", "x"]).front, keys);
    assert_eq!((front.listen.port(), front.allow_hosts, front.max_body), (1, vec!["near".to_owned()], 3 << 20));
    assert_eq!(front.keep_alive, Some(std::time::Duration::from_secs(2)));
    let given = ["--listen", "127.0.0.1:0", "--max-body", "1", "--keep-alive", "9", "--allow-host", "flag", "--", "x"];
    let front = FrontOptions::of(run(&given).front, keys);
    assert_eq!((front.listen.port(), front.allow_hosts, front.max_body), (0, vec!["flag".to_owned()], 1 << 20));
    assert_eq!(front.keep_alive, Some(std::time::Duration::from_secs(9)));

    let watch = WatchOptions::of(run(&["--", "x"]).common.watch, keys);
    assert_eq!((watch.record, watch.ascii, watch.on_quit), (false, true, Some(OnQuit::Fail)));
    assert_eq!(watch.tapes.as_deref(), Some(Path::new("far")));
    let watch =
        WatchOptions::of(run(&["--tapes", "flag", "--ascii=no", "--on-quit", "forward", "--", "x"]).common.watch, keys);
    assert_eq!((watch.record, watch.ascii, watch.on_quit), (true, false, Some(OnQuit::Forward)));
    assert_eq!(watch.tapes.as_deref(), Some(Path::new("flag")));

    let control = ControlOptions::of(run(&["--", "x"]).common.control, keys);
    assert_eq!((control.address, control.name.as_deref()), (None, Some("far")));
    let control =
        ControlOptions::of(run(&["--control", "127.0.0.1:5", "--name", "flag", "--", "x"]).common.control, keys);
    assert_eq!((control.address.map(|it| it.port()), control.name.as_deref()), (Some(5), Some("flag")));
}

#[test]
fn defaults_stand_where_nothing_is_said() {
    let keys = ConfigKeys::default();
    let front = FrontOptions::of(run(&["--", "x"]).front, &keys);
    assert_eq!((front.listen.to_string().as_str(), front.max_body), ("127.0.0.1:7070", 64 << 20));
    let watch = WatchOptions::of(run(&["--", "x"]).common.watch, &keys);
    assert_eq!((watch.headless, watch.record, watch.hold, watch.tapes), (false, true, None, None));
    assert!(WatchOptions::of(run(&["--headless", "--", "x"]).common.watch, &keys).headless);
    let control = ControlOptions::of(run(&["--", "x"]).common.control, &keys);
    assert_eq!(control.address.map(|it| it.to_string()).as_deref(), Some("127.0.0.1:0"));
    assert_eq!(ControlOptions::of(run(&["--no-control", "--", "x"]).common.control, &keys).address, None);
}

#[test]
fn upstream_of_the_command_line_is_at_the_root() {
    let none = Config::default();
    let one = config(&["[upstreams.b]\nurl = \"http://b\""]);
    let two = config(&[
        "[upstreams.b]\nurl = \"http://near\"",
        "[upstreams.a]\ncommand = [\"a\", \"1\"]\n[upstreams.b]\nurl = \"http://far\"",
    ]);
    let fixed = config(&["default = \"a\"", "[upstreams.b]\nurl = \"http://b\"\n[upstreams.a]\nurl = \"http://a\""]);
    let cases: [(&[&str], &Config, &[&str]); 8] = [
        (&["--", "x", "y"], &none, &["* x y"]),
        (&["--upstream", "http://x"], &one, &["* http://x", "b http://b"]),
        (&[], &one, &["* b http://b"]),
        (&[], &two, &["b http://near", "a a 1"]),
        (&["--upstream", "a"], &two, &["b http://near", "* a a 1"]),
        (&[], &fixed, &["b http://b", "* a http://a"]),
        (&["--", "x"], &fixed, &["* x", "b http://b", "a http://a"]),
        (&["--upstream", "b"], &fixed, &["* b http://b", "a http://a"]),
    ];
    for (words, config, expected) in cases {
        assert_eq!(
            served(words, config).as_deref(),
            Ok(&*expected.iter().map(|&it| it.to_owned()).collect::<Vec<_>>())
        );
    }
    assert_eq!(served(&[], &none), Err(UpstreamChoiceError::Nothing));
    assert_eq!(served(&["--header", "a: b"], &one), Err(UpstreamChoiceError::Headers));
    assert_eq!(served(&["--header", "a: b", "--upstream", "b"], &one), Err(UpstreamChoiceError::Headers));
    assert_eq!(
        served(&["--upstream", "c"], &two),
        Err(UpstreamChoiceError::Unknown { name: "c".to_owned(), known: vec!["b".to_owned(), "a".to_owned()] })
    );

    let stdio = |words: &[&str], config| upstream(run(words).target, config).map(|it| it.server.label().to_string());
    assert_eq!(stdio(&[], &one), Ok("http://b".to_owned()));
    assert_eq!(stdio(&["--upstream", "a"], &two), Ok("a 1".to_owned()));
    assert_eq!(stdio(&["--", "x"], &two), Ok("x".to_owned()));
    assert_eq!(stdio(&[], &two), Err(UpstreamChoiceError::Several("b`, `a".to_owned())));
}

/// Secrets in all the places for one.
const SECRETS: &str = "name = \"x\"\n\n[upstreams.a]\nurl = \"http://a\"\nheaders = { authorization = \"Bearer s3cret\", x-mine = \"s3cret\" }\n\n\
    [upstreams.b]\ncommand = [\"b\"]\n\n[upstreams.b.env]\nMINE = \"s3cret\"\nOTHER = \"\"\"\ns3cret\n\"\"\"\n\n\
    [upstreams.c]\nurl = \"http://c\"\n[upstreams.c.headers]\nx-mine = 's3cret'\n\n\
    [shadow]\ncommand = \"d\"\nheaders = { x-mine = \"s3cret\" }\n\n[otlp.headers]\nx-mine = \"s3cret\"\n";

proptest! {
    #[test]
    fn parse_never_panics(text in any::<String>(), at in any::<usize>()) {
        let _ = Config::of(&[source(&text)], &[]).map_err(|error| error.to_string());
        let wide = source(&text).fault(at % 50..at % 70, "why").to_string();
        prop_assert!(wide.contains("why"));
    }

    #[test]
    fn mistake_in_any_place_shows_no_secret(at in 0..SECRETS.len(), cut in 0_usize..3, put in "[ -~\n]{0,2}") {
        let end = (at + cut).min(SECRETS.len());
        let text = format!("{}{put}{}", &SECRETS[..at], &SECRETS[end..]);
        if let Err(error) = Config::of(&[source(&text)], &[]) {
            prop_assert!(!error.to_string().contains("s3cret"), "{text}\n---\n{error}");
        }
    }
}

#[test]
fn stateless_is_declared_for_one_of_several_upstreams() {
    let text = "[upstreams.a]\ncommand = [\"a\"]\nstateless = true\n[upstreams.b]\ncommand = [\"b\"]";
    let config = config(&[text]);
    let told: Vec<_> = options::configured(&config)
        .expect("it can be served")
        .into_iter()
        .map(|it| (it.name.unwrap(), it.stateless))
        .collect();
    assert_eq!(told, [("a".to_owned(), Some(true)), ("b".to_owned(), None)]);
}

#[test]
fn variable_of_what_serves_is_nothing_to_what_does_not() {
    let text = "tapes = \"/there\"\n[auth]\ntokens = [{ name = \"ann\", env = \"TAPLINE_TEST_UNSET\" }]\n\
                [[limits]]\nper = \"token\"\nrate = \"1/s\"\n\
                [otlp]\nheaders = { a = \"${TAPLINE_TEST_UNSET}\" }\n[shadow]\nheaders = { a = \"${TAPLINE_TEST_UNSET}\" }\n";
    assert!(fault(text).contains("3:33: the environment variable `TAPLINE_TEST_UNSET` is not set"), "{}", fault(text));
    let read = Config::of(&[source(text)], &OF_SERVING).unwrap();
    assert_eq!(read.keys.tapes.unwrap().dir, Path::new("/there"));
    assert_eq!((read.keys.auth, read.keys.limits, read.keys.shadow.is_some()), (None, None, false));
    // What is wrong elsewhere is still found, where it stands.
    let error = Config::of(&[source(&format!("{text}[pool]\nmaxx = 1\n"))], &OF_SERVING).unwrap_err().to_string();
    assert!(error.contains(":12:1: ") && error.contains("did you mean `max`?"), "{error}");
}

#[test]
fn variable_that_is_not_set_matters_where_its_upstream_is_used() {
    let needy = "[upstreams.a]\nurl = \"http://a\"\nheaders = { authorization = \"Bearer ${TAPLINE_TEST_UNSET}\" }\n";
    let other = "[upstreams.b]\nurl = \"http://b/\"\n";
    let why = "3:29: the environment variable `TAPLINE_TEST_UNSET` is not set";
    let refused = |words: &[&str], text: &str| match served(words, &config(&[text])) {
        Err(UpstreamChoiceError::Unset(told)) => told.contains(why) && !told.contains("Bearer"),
        _ => false,
    };
    assert!(refused(&[], needy), "nothing else is served");
    assert!(refused(&["--upstream", "a"], &format!("{needy}{other}")), "it is asked for");
    let both = config(&[&format!("{needy}{other}")]);
    assert_eq!(served(&["--", "cat"], &both), Ok(vec!["* cat".to_owned(), "b http://b/".to_owned()]));
    assert_eq!(served(&["--upstream", "b"], &both), Ok(vec!["* b http://b/".to_owned()]));
    assert_eq!(both.warnings, ["upstream `a` is not served: the environment variable `TAPLINE_TEST_UNSET` is not set"]);
    // A nearer one of that name is another.
    assert!(config(&["[upstreams.a]\nurl = \"http://c/\"\n", needy]).unset.is_empty());
    let env = config(&["[upstreams.a]\ncommand = [\"a\"]\nenv = { K = \"${TAPLINE_TEST_UNSET}\" }\n"]);
    assert!(matches!(served(&[], &env), Err(UpstreamChoiceError::Unset(why)) if why.contains("3:13: ")));
}

#[test]
fn tokens_that_have_every_scope_are_warned_of() {
    let hash = "0".repeat(64);
    let text = |scopes: &str, require: &str| {
        format!("[auth]\ntokens = [{{ name = \"ann\", sha256 = \"{hash}\"{scopes} }}]\n{require}")
    };
    let require = "require = [{ tool = \"delete_*\", scopes = [\"admin\"] }]";
    let warnings = |scopes, require| config(&[&text(scopes, require)]).warnings;
    assert_eq!(
        warnings("", require),
        ["/there: `ann` of `tokens` has no `scopes`, and so all that `require` asks for; `scopes = []` is none"]
    );
    assert!(warnings(", scopes = [\"read\"]", require).is_empty() && warnings("", "").is_empty());
}

#[test]
fn own_keys_are_read_and_their_mistakes_told_at_once() {
    let read = config(&["[keys]\nhold-toggle = \"f2\"\nforward = [\"a\", \"ctrl a\"]\n[keys.queue]\ndrop = \"D\""]);
    assert_ne!(read.keys.key_choice(), crate::ui::KeyChoice::default());
    let upper = config(&["[keys]\nhold-toggle = \"F2\"\nforward = [\"a\", \"ctrl a\"]\n[keys.queue]\ndrop = \"D\""]);
    assert_eq!(upper.keys.key_choice(), read.keys.key_choice(), "a function key by either case");
    let wrong = "record = true\n[keys]\nforwrd = \"f2\"\nfilter = 3\nmark = \"escape\"\norder = \"y\"\n[keys.queu]\ndrop = \"D\"\n";
    let told = Config::of(&[source(wrong)], &[]).expect_err("it is wrong").to_string();
    let places: Vec<_> = told.lines().filter(|line| line.starts_with("/there:")).collect();
    assert_eq!(
        places,
        [
            "/there:3:1: there is no command `forwrd`; did you mean `forward`?",
            "/there:4:10: a key is expected, such as `\"f\"` or `\"ctrl f\"`, or a list of keys",
            "/there:5:8: no key is called `escape`: a character, `ctrl x`, `alt x`, `f1`, or a name such as `pgup`; did you mean `esc`?",
            "/there:6:9: `y` is also `copy` (messages); give that another key, or `[]` for none",
            "/there:6:9: `y` is also `copy-address` (tapes); give that another key, or `[]` for none",
            "/there:7:7: there are no keys of a place `queu`; did you mean `queue`?",
        ],
        "{told}"
    );
    assert!(told.contains("3 | forwrd"), "{told}");
}

#[test]
fn columns_are_read_and_their_mistakes_told_at_once() {
    use crate::ui::ListColumn;
    let read = config(&["columns = [\"time\", \"name\"]"]);
    assert_eq!(read.keys.list_columns(), [ListColumn::Time, ListColumn::Name]);
    let wrong = "columns = [\"time\", \"sise\", \"time\",\n  7, \"colour\"]\n";
    let told = Config::of(&[source(wrong)], &[]).expect_err("it is wrong").to_string();
    let places: Vec<_> = told.lines().filter(|line| line.starts_with("/there:")).collect();
    let known = "`number`, `time`, `session`, `kind`, `id`, `name`, `content`, `size`, `duration`";
    assert_eq!(
        places,
        [
            "/there:1:20: there is no column `sise`; did you mean `size`?".to_owned(),
            "/there:1:28: the column `time` stands here twice".to_owned(),
            format!("/there:2:3: a column is expected, of {known}"),
            format!("/there:2:6: there is no column `colour`; there are {known}"),
        ],
        "{told}"
    );
    let told = Config::of(&[source("columns = \"time\"")], &[]).expect_err("it is wrong").to_string();
    assert!(told.contains("/there:1:11: a list of columns is expected"), "{told}");
}
