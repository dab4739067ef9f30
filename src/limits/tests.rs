use std::cell::Cell;

use super::*;

#[derive(Debug, serde::Deserialize)]
struct Sections {
    limits: Vec<Section>,
}

/// A client that asks, at a time of the test's choice.
struct Rig {
    limits: Limits,
    clock: Clock,
    session: Cell<u128>,
}

impl Rig {
    fn new(text: &str) -> Self {
        let Sections { limits } = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        let clock = Clock::by_hand();
        let limits = Limits::new(limits, true, clock.clone()).expect("they fit").expect("there are some");
        Self { limits, clock, session: Cell::new(1) }
    }

    fn ask(&self, text: &str) -> Result<(), LimitExceeded> {
        let key = |per| match per {
            Per::Token => Key::Token("ann".into()),
            Per::Session => Key::Session(self.session.get()),
            Per::Client => Key::Client(IpAddr::from([127, 0, 0, 1])),
        };
        self.limits.check(key, &Message::new(text.to_owned()))
    }

    #[track_caller]
    fn wait(&self, text: &str) -> Duration {
        match self.ask(text).expect_err("it is too many").early {
            Early::For(wait) => wait,
            Early::Always => panic!("it will always be too many"),
        }
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#;

#[test]
fn retry_after_is_exact() {
    let rig = Rig::new("[[limits]]\nper = \"session\"\nrate = \"30/m\"\nburst = 3\n");
    for _ in 0..3 {
        rig.ask(PING).unwrap();
    }
    assert_eq!(rig.wait(PING), Duration::from_secs(2));
    rig.advance(1500);
    assert_eq!(rig.wait(PING), Duration::from_millis(500));
    rig.advance(499);
    assert_eq!(rig.wait(PING), Duration::from_millis(1));
    rig.advance(1);
    rig.ask(PING).unwrap();
    assert_eq!(rig.wait(PING), Duration::from_secs(2));
    // After a long pause there are as many as at the beginning, and no more.
    rig.advance(3_600_000);
    for _ in 0..3 {
        rig.ask(PING).unwrap();
    }
    assert_eq!(rig.wait(PING), Duration::from_secs(2));
    assert_eq!(rig.limits.refused().collect::<Vec<_>>(), [("30/m per session", 5)]);
}

#[test]
fn limit_is_per_client() {
    let rig = Rig::new("[[limits]]\nper = \"session\"\nrate = \"1/h\"\n");
    rig.ask(PING).unwrap();
    rig.wait(PING);
    rig.session.set(2);
    rig.ask(PING).unwrap();
    rig.wait(PING);
}

#[test]
fn limit_is_for_what_it_names() {
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let other = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}"#;
    let prompt = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"search"}}"#;
    for (names, counted, free) in [
        ("", vec![PING, LIST, CALL], vec![cancelled, progress, reply, "{", "[]"]),
        ("method = \"tools/*\"", vec![LIST, CALL], vec![PING, prompt, cancelled, progress]),
        ("method = \"tools/call\"\ntool = \"search\"", vec![CALL], vec![other, LIST, prompt]),
        ("tool = \"se*\"", vec![CALL], vec![other, LIST, prompt]),
        ("method = \"notifications/*\"", vec![progress], vec![cancelled, PING]),
        ("method = \"*\"", vec![PING, progress], vec![cancelled, reply]),
    ] {
        for counted in counted {
            let rig = Rig::new(&format!("[[limits]]\nper = \"client\"\nrate = \"1/h\"\n{names}\n"));
            rig.ask(counted).unwrap();
            rig.wait(counted);
            for free in &free {
                assert!(rig.ask(free).is_ok(), "{names}: {free}");
            }
        }
    }
}

#[test]
fn batch_counts_each_message_or_none() {
    let rig = Rig::new("[[limits]]\nper = \"session\"\nrate = \"1/s\"\nburst = 3\n");
    let batch = |count: usize| format!("[{}]", vec![PING; count].join(","));
    rig.ask(&batch(2)).unwrap();
    assert_eq!(rig.wait(&batch(2)), Duration::from_secs(1));
    rig.ask(PING).unwrap();
    rig.advance(3000);
    let excess = rig.ask(&batch(4)).unwrap_err();
    assert_eq!((excess.early, excess.early.seconds()), (Early::Always, None));
    assert!(excess.to_string().ends_with("send smaller batches"), "{excess}");
    rig.ask(&batch(3)).unwrap();
}

#[test]
fn refused_request_counts_for_no_other_limit() {
    let rig = Rig::new(
        "[[limits]]\nper = \"token\"\nrate = \"2/h\"\n[[limits]]\nper = \"session\"\nrate = \"1/m\"\nmethod = \"ping\"\n",
    );
    rig.ask(PING).unwrap();
    for _ in 0..10 {
        assert_eq!(rig.wait(PING), Duration::from_secs(60));
    }
    rig.ask(LIST).unwrap();
    // Now both refuse: the longer wait is the true one.
    let excess = rig.ask(PING).unwrap_err();
    assert_eq!((&*excess.limit, excess.early), ("2/h per token", Early::For(Duration::from_secs(1800))));
}

#[test]
fn notice_of_refusals_comes_once() {
    let rig = Rig::new("[[limits]]\nper = \"session\"\nrate = \"1/s\"\nburst = 2\n");
    let first = |rig: &Rig| rig.ask(PING).unwrap_err().first;
    rig.ask(PING).unwrap();
    rig.ask(PING).unwrap();
    assert_eq!([first(&rig), first(&rig), first(&rig)], [true, false, false]);
    rig.advance(1000);
    rig.ask(PING).unwrap();
    assert!(!first(&rig), "it has not recovered");
    rig.session.set(2);
    rig.ask(PING).unwrap();
    rig.ask(PING).unwrap();
    assert!(first(&rig), "this is another");
    rig.session.set(1);
    rig.advance(2001);
    rig.ask(PING).unwrap();
    rig.ask(PING).unwrap();
    assert!(first(&rig));
}

#[test]
fn idle_clients_are_forgotten() {
    let rig = Rig::new("[[limits]]\nper = \"session\"\nrate = \"10/s\"\n");
    let limit = &rig.limits.limits[0];
    for session in 0..TIDY_EVERY {
        let session = u128::from(session);
        rig.limits.check(|_| Key::Session(session), &Message::new(PING)).unwrap();
        rig.advance(10);
    }
    assert!(limit.limiter.len() < 50, "{}", limit.limiter.len());
}

#[test]
fn early_is_rounded_up_to_whole_units() {
    for (wait, seconds, millis) in [
        (Duration::from_nanos(1), 1, 1),
        (Duration::from_millis(1000), 1, 1000),
        (Duration::from_nanos(1_000_000_001), 2, 1001),
        (Duration::from_secs(1800), 1800, 1_800_000),
    ] {
        let early = Early::For(wait);
        assert_eq!((early.seconds(), early.millis()), (Some(seconds), Some(millis)));
    }
}

#[test]
fn section_mistakes_have_a_line() {
    for (text, line, why) in [
        ("per = \"session\"\nrate = \"0/s\"", 2, "invalid rate `0/s`"),
        ("per = \"session\"\nrate = \"10\"", 2, "such as `10/s`"),
        ("per = \"session\"\nrate = \"10/d\"", 2, "`/s`, `/m` or `/h`"),
        ("per = \"session\"\nrate = \"-1/s\"", 2, "invalid rate `-1/s`"),
        ("per = \"session\"\nrate = \"4000000000/s\"", 2, "too high"),
        ("per = \"session\"\nrate = \"1/s\"\nburst = 0", 3, "nonzero"),
        ("per = \"session\"\nrate = \"1/h\"\nburst = 4000000000", 0, "centuries"),
        ("per = \"user\"\nrate = \"1/s\"", 1, "unknown variant `user`, expected one of `token`, `session`, `client`"),
        ("rate = \"1/s\"", 0, "missing field `per`"),
        ("per = \"session\"\nrate = \"1/s\"\nmethods = \"x\"", 3, "unknown field `methods`"),
        ("per = \"session\"\nrate = \"1/s\"\ntool = \"\"", 3, "must not be empty"),
    ] {
        let text = format!("[[limits]]\n{text}\n");
        let error = toml::from_str::<Sections>(&text).expect_err(&text);
        assert!(error.message().contains(why), "{text}: {error}");
        let start = error.span().expect("it is somewhere").start;
        assert_eq!(text[..start].matches('\n').count(), line, "{text}: {error}");
    }
    let section: Section = toml::from_str("per = \"token\"\nrate = \"1/s\"").expect("it is a limit");
    let error = Limits::new(vec![section], false, Clock::default()).err().expect("nobody has a token");
    assert!(error.to_string().contains("needs `[auth]`"), "{error}");
}

#[test]
fn made_up_keys_take_bounded_memory_and_count_together() {
    let rig = Rig::new("[[limits]]\nper = \"session\"\nrate = \"1/h\"\n");
    let most = u128::try_from(MOST_KEYS).expect("it is small");
    for session in 1..=most {
        rig.session.set(session);
        rig.ask(PING).unwrap();
    }
    rig.session.set(most + 1);
    rig.ask(PING).unwrap();
    for session in most + 2..most + 100 {
        rig.session.set(session);
        rig.ask(PING).unwrap_err();
    }
    let limit = &rig.limits.limits[0];
    assert!(limit.limiter.len() <= MOST_KEYS + 1 && limit.told.len() <= MOST_KEYS);
    // Those who were there keep their own count.
    rig.session.set(7);
    rig.ask(PING).unwrap_err();
    rig.advance(3_600_000);
    rig.ask(PING).unwrap();
}
