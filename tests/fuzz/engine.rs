//! Inputs from a corpus, changed here and there, for as long as there is time.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// What each target may use of the normal suite, ten seconds in all.
const BUDGET: Duration = Duration::from_millis(1_600);

/// Inputs of one round; between two of them the time is looked at.
const ROUND: u32 = 64;

/// What readers decide on.
const TOKENS: [&str; 36] = [
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{1b}[2J",
    "\u{9b}",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551616",
    "{\"a\":",
    "[[[[[[[[",
    "\"id\":",
    "\"method\":",
    "data:",
    "event:",
    "id:",
    "retry:",
    "!(",
    "&",
    "~",
    "\"\"\"",
    "=",
];

/// One change of an input; places are parts of its length at that time.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index, usize),
    /// What another input has from there on.
    Splice(Index, Index, Index),
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = |index: &Index, length: usize| index.index(length + 1);
        match self {
            Self::Set(place, byte) => {
                if !input.is_empty() {
                    let place = place.index(input.len());
                    input[place] = *byte;
                }
            }
            Self::Insert(place, bytes) => {
                let place = at(place, input.len());
                input.splice(place..place, bytes.iter().copied());
            }
            Self::Remove(from, to) => {
                let (from, to) = (at(from, input.len()), at(to, input.len()));
                input.drain(from.min(to)..from.max(to));
            }
            Self::Repeat(from, to, times) => {
                let (from, to) = (at(from, input.len()), at(to, input.len()));
                let part = input[from.min(to)..from.max(to)].repeat(*times);
                let end = from.max(to);
                input.splice(end..end, part);
            }
            Self::Splice(place, other, from) => {
                let other = other.get(corpus);
                input.truncate(at(place, input.len()));
                input.extend_from_slice(&other[at(from, other.len())..]);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(place, byte)| Change::Set(place, byte)),
        4 => (index(), select(&TOKENS[..])).prop_map(|(place, token)| Change::Insert(place, token.into())),
        1 => (index(), proptest::collection::vec(any::<u8>(), 0..8)).prop_map(|(place, bytes)| Change::Insert(place, bytes)),
        2 => (index(), index()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => (index(), index(), 1..20_usize).prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        2 => (index(), index(), index()).prop_map(|(place, other, from)| Change::Splice(place, other, from)),
    ]
}

/// An input of the corpus, changed up to eight times.
fn changed(corpus: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let corpus = corpus.to_vec();
    let seed = select(corpus.clone());
    (seed, proptest::collection::vec(change(), 0..8)).prop_map(move |(mut input, changes)| {
        changes.iter().for_each(|change| change.apply(&mut input, &corpus));
        input
    })
}

/// Gives a reader the inputs in its folder, and then others made of them. It panics where something does not hold.
pub(crate) fn fuzz(target: &str, reader: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (file, input) in files.iter().zip(&corpus) {
        println!("{}", file.display());
        reader(input);
    }
    let seconds = std::env::var("TAPLINE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let until = Instant::now() + seconds.map_or(BUDGET, Duration::from_secs);
    // The suite tries the same inputs each time, as far as it comes: what it finds, it finds for everybody. Whoever gives it longer
    // looks for others.
    let chance = if seconds.is_some() { RngSeed::Random } else { RngSeed::Fixed(0) };
    let mut runner_seeds = TestRunner::new(Config { rng_seed: chance, ..Config::default() });
    let (inputs, mut made) = (changed(&corpus), 0);
    while Instant::now() < until {
        // One that has run so many cases runs no more.
        let rng_seed = RngSeed::Fixed(runner_seeds.rng().next_u64());
        let config = Config { cases: ROUND, failure_persistence: None, rng_seed, ..Config::default() };
        let told = TestRunner::new(config).run(&inputs, |input| {
            reader(&input);
            Ok(())
        });
        if let Err(TestError::Fail(why, input)) = told {
            panic!("{why}\nby this input, for {}:\nb\"{}\"", folder.display(), input.escape_ascii());
        }
        made += ROUND;
    }
    println!("{target}: {} inputs of the corpus and {made} made of them", corpus.len());
}
