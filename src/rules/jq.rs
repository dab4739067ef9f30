//! A jq program that changes a message: bounded in steps, memory, depth and time, and put into the bytes where it made a difference.
//!
//! The interpreter (jaq) cannot be stopped from outside. So the program, and every definition that it may use, is rewritten before it is
//! compiled: each call, each array, object, sum and update counts what it made, and who has used up its fuel is unwound, which no
//! `try` of the program can catch. What is counted is the size of what was made, so that a program that doubles a value in each step
//! ends as soon as one that runs for ever. What would reach out of the program (`env`, `halt`, `input`, `stderr`) is not there.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jaq_core::box_iter::box_once;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::{Fun, bome, v};
use jaq_core::path::{Part, Path};
use jaq_core::{Compiler, Ctx, Error, Native, Vars, data, load, ops, unwrap_valr};
use jaq_json::{Val, read, write};

use crate::json::diff::{NumberEquality, value_text};
use crate::json::splice;
use crate::message::Message;

/// What a program may use up on a message: steps, and the sizes of values that it makes.
const FUEL: u64 = 200_000;
/// What it gets more for each byte of the message.
const FUEL_A_BYTE: u64 = 40;
/// The longest string that one step may make.
const LONGEST: u64 = 16 << 20;
/// Values inside each other.
const DEEPEST: usize = 256;
/// Stack that it may use.
const STACK: usize = 256 << 10;
/// How long it may run: messages of other clients wait meanwhile, as it runs where they pass. A build for tests is slower by this.
const TIME: Duration = Duration::from_millis(SLOWER);
const SLOWER: u64 = if cfg!(debug_assertions) { 25 } else { 1 };
/// It has as much again for each of so many bytes of its message.
const BYTES_A_TIME: usize = 64 << 10;
/// The longest time, whatever else the machine does meanwhile.
const LONGEST_TIME: Duration = Duration::from_millis(25 * SLOWER);
/// How often is looked at the clock.
const STEPS_A_LOOK: u64 = 128;
/// Between two looks no more than this is counted: else the machine has done something else.
const LONGEST_LOOK: Duration = Duration::from_micros(100 * SLOWER);

/// Counts a step.
const STEP: &str = "tapline_step";
/// Counts a value.
const WEIGH: &str = "tapline_weigh";
/// A product that is not longer than it may be.
const TIMES: &str = "tapline_times";
/// The name under which the program of a rule is compiled.
const MAIN: &str = "tapline_main";
/// What reaches out of the program.
const NOT_THERE: [&str; 10] = [
    "halt",
    "halt_error",
    "env",
    "input",
    "inputs",
    "debug",
    "stderr",
    "debug_empty",
    "stderr_empty",
    "input_filename",
];

type JqData = data::JustLut<Val>;

/// What is not defined in jq.
static NATIVES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| natives().map(|(name, ..)| name).collect());

fn natives() -> impl Iterator<Item = Fun<JqData>> {
    let funs = jaq_core::funs::<JqData>().chain(jaq_std::funs::<JqData>()).chain(jaq_json::funs::<JqData>());
    funs.filter(|(name, ..)| !NOT_THERE.contains(name))
}

/// A program, ready to be run.
pub(super) struct JqProgram {
    source: Box<str>,
    filter: jaq_core::Filter<JqData>,
}

impl fmt::Debug for JqProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jq {}", self.source)
    }
}

/// Why a program gave nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JqFault {
    /// It failed on this message.
    Failed(String),
    /// It went on for too long, or made too much: it is not to be run again.
    Unbounded(&'static str),
}

/// What is left to the program that runs on this thread.
#[derive(Clone, Copy)]
struct Fuel {
    left: u64,
    steps: u64,
    stack: usize,
    /// What it has run so far, and may run.
    ran: Duration,
    most: Duration,
    looked: Option<Instant>,
    until: Option<Instant>,
}

impl Fuel {
    const NONE: Self =
        Self { left: 0, steps: 0, stack: 0, ran: Duration::ZERO, most: Duration::ZERO, looked: None, until: None };

    /// Looks at the clock; whether its time is over.
    fn is_late(&mut self) -> bool {
        let (Some(looked), Some(until)) = (self.looked, self.until) else { return false };
        let now = Instant::now();
        self.ran += now.saturating_duration_since(looked).min(LONGEST_LOOK);
        self.looked = Some(now);
        self.ran > self.most || now > until
    }
}

thread_local! {
    static LEFT: Cell<Fuel> = const { Cell::new(Fuel::NONE) };
}

/// Unwinds who has used up its fuel.
struct OutOfFuel(&'static str);

impl JqProgram {
    /// Reads a program.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(source: &str) -> Result<Self, String> {
        let term = load::parse(source, |parser| parser.term())
            .ok_or_else(|| format!("`{source}` is no jq program, such as `.params.arguments.limit = 5`"))?;
        let main = Def { name: MAIN, args: Vec::new(), body: counted(term) };
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let defs = defs.filter(|def| !NOT_THERE.contains(&def.name)).map(counted_def);
        let mut all: Vec<Def<&str>> = defs.collect();
        all.push(main);
        let arena = Arena::default();
        let loader = Loader::new(all);
        let modules = loader.load(&arena, File { code: MAIN, path: () }).map_err(|_| "it cannot be read".to_owned())?;
        let compiled = Compiler::default().with_funs(natives().chain(counters())).compile(modules);
        let filter = compiled.map_err(|faults| {
            let names: Vec<_> =
                faults.iter().flat_map(|(_, unknown)| unknown).map(|(name, _)| format!("`{name}`")).collect();
            format!("there is no {}", names.join(", "))
        })?;
        Ok(Self { source: source.into(), filter })
    }

    /// Runs it on a message. What it did not touch keeps its bytes.
    ///
    /// # Errors
    /// Why there is nothing to go on with; nothing was changed then.
    pub(super) fn run(&self, message: &Message) -> Result<Message, JqFault> {
        let failed = |why: &str| JqFault::Failed(why.to_owned());
        let text = value_text(message.raw()).ok_or_else(|| failed("it is not JSON"))?;
        let result = within(text.len(), || self.result(text))?;
        let steps = splice::differences(text, &result, NumberEquality::Value);
        if steps.is_empty() {
            return Ok(message.clone());
        }
        let whole = std::str::from_utf8(message.raw()).map_err(|_| failed("it is not UTF-8"))?;
        splice::patch(whole, &steps).map(Message::new).map_err(JqFault::Failed)
    }

    fn result(&self, text: &str) -> Result<String, String> {
        let input = read::parse_single(text.as_bytes()).map_err(|why| format!("{why:?}"))?;
        let context = Ctx::<JqData>::new(&self.filter.lut, Vars::new([]));
        let mut results = self.filter.id.run((context, input)).map(unwrap_valr);
        let first = results.next().ok_or("it gave no result")?.map_err(|why| cut(&why.to_string()))?;
        if results.next().is_some() {
            return Err("it gave more than one result".to_owned());
        }
        spend(weight(&first, 0));
        let mut out = Vec::with_capacity(text.len());
        write::write(&mut out, &write::Pp::default(), 0, &first).map_err(|why| why.to_string())?;
        String::from_utf8(out).map_err(|_| "it gave what is not UTF-8".to_owned())
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Runs something on the fuel that there is for a message of this size.
fn within(bytes: usize, run: impl FnOnce() -> Result<String, String>) -> Result<String, JqFault> {
    let now = Instant::now();
    let most = TIME + TIME.mul_f64(bytes as f64 / BYTES_A_TIME as f64);
    let left = FUEL + FUEL_A_BYTE * bytes as u64;
    let (looked, until) = (Some(now), now.checked_add(LONGEST_TIME));
    let before = LEFT.replace(Fuel { left, stack: stack(), most, looked, until, ..Fuel::NONE });
    let ended = catch_unwind(AssertUnwindSafe(run));
    LEFT.set(before);
    match ended {
        Ok(result) => result.map_err(JqFault::Failed),
        Err(unwound) => Err(reason(unwound)),
    }
}

fn reason(unwound: Box<dyn Any + Send>) -> JqFault {
    match unwound.downcast::<OutOfFuel>() {
        Ok(out) => JqFault::Unbounded(out.0),
        Err(_) => JqFault::Unbounded("the interpreter gave up on it"),
    }
}

/// About where the stack stands.
#[inline(never)]
fn stack() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

fn give_up(why: &'static str) -> ! {
    // The panic hook does not report it: it is the end of a program that is not ours.
    resume_unwind(Box::new(OutOfFuel(why)))
}

fn spend(amount: u64) {
    let mut fuel = LEFT.get();
    fuel.steps += 1;
    let Some(left) = fuel.left.checked_sub(amount) else { give_up("it runs for ever, or makes too much") };
    fuel.left = left;
    let is_late = fuel.steps.is_multiple_of(STEPS_A_LOOK) && fuel.is_late();
    LEFT.set(fuel);
    if fuel.stack.abs_diff(stack()) > STACK {
        give_up("it calls itself without end");
    }
    if is_late {
        give_up("it takes too long");
    }
}

/// How much a value is: its parts, and its text by the 64 bytes. Stops counting where there is no fuel for it.
fn weight(value: &Val, depth: usize) -> u64 {
    if depth > DEEPEST {
        give_up("it makes values without end inside each other");
    }
    let most = LEFT.get().left;
    let mut sum = 1;
    let mut add = |value: &Val| {
        sum += weight(value, depth + 1);
        if sum > most {
            give_up("it makes too much");
        }
    };
    match value {
        Val::Arr(items) => items.iter().for_each(&mut add),
        Val::Obj(members) => members.iter().for_each(|(key, value)| {
            add(key);
            add(value);
        }),
        Val::TStr(text) | Val::BStr(text) => return 1 + text.len() as u64 / 64,
        _ => {}
    }
    sum
}

fn counters() -> [Fun<JqData>; 3] {
    fn step(value: Val) -> Val {
        spend(1);
        value
    }
    fn weigh(value: Val) -> Val {
        spend(weight(&value, 0));
        value
    }
    let times = Native::<JqData>::new(|mut cv| {
        let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
        bome(times(left, right))
    });
    let step = Native::<JqData>::new(|cv| box_once(Ok(step(cv.1))))
        .with_paths(|cv| box_once(Ok((step(cv.1.0), cv.1.1))))
        .with_update(|cv, update| update(step(cv.1)));
    let weigh = Native::<JqData>::new(|cv| box_once(Ok(weigh(cv.1))))
        .with_paths(|cv| box_once(Ok((weigh(cv.1.0), cv.1.1))))
        .with_update(|cv, update| update(weigh(cv.1)));
    [(STEP, v(0), step), (WEIGH, v(0), weigh), (TIMES, v(2), times)]
}

/// A text so and so many times is not to be longer than it may.
fn times(left: Val, right: Val) -> Result<Val, Error<Val>> {
    let length = |value: &Val| match value {
        Val::TStr(text) | Val::BStr(text) => Some(text.len() as u64),
        _ => None,
    };
    let count = |value: &Val| match value {
        Val::Num(number) => number.to_string().parse::<f64>().ok(),
        _ => None,
    };
    let repeated = length(&left).zip(count(&right)).or_else(|| length(&right).zip(count(&left)));
    #[expect(clippy::cast_precision_loss, reason = "a limit")]
    let is_too_long = repeated.is_some_and(|(length, count)| length as f64 * count > LONGEST as f64);
    if is_too_long {
        give_up("it makes too long a text");
    }
    left * right
}

fn call(name: &'static str) -> Term<&'static str> {
    Term::Call(name, Vec::new())
}

fn then<'s>(term: Term<&'s str>, name: &'static str) -> Term<&'s str> {
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), Box::new(call(name)))
}

fn counted_def(def: Def<&str>) -> Def<&str> {
    let body = Term::BinOp(Box::new(call(STEP)), BinaryOp::Pipe(None), Box::new(counted(def.body)));
    Def { body, ..def }
}

/// A term that counts what it does.
fn counted(term: Term<&str>) -> Term<&str> {
    let boxed = |term: Box<Term<_>>| Box::new(counted(*term));
    match term {
        Term::Call(name, arguments) => {
            let arguments = arguments.into_iter().map(|argument| then(counted(argument), STEP)).collect();
            let call = Term::Call(name, arguments);
            // What is defined in jq counts itself, and what calls itself at its end is to go on doing so without a stack.
            if NATIVES.contains(name) { then(call, WEIGH) } else { call }
        }
        Term::Arr(items) => then(Term::Arr(items.map(|items| Box::new(then(counted(*items), STEP)))), WEIGH),
        Term::Obj(members) => then(Term::Obj(members.into_iter().map(counted_member).collect()), WEIGH),
        Term::Str(None, parts) if parts.iter().all(|part| !matches!(part, StrPart::Term(_))) => Term::Str(None, parts),
        Term::Str(format, parts) => then(Term::Str(format, parts.into_iter().map(counted_part).collect()), WEIGH),
        Term::Neg(inner) => Term::Neg(boxed(inner)),
        Term::Label(name, inner) => Term::Label(name, boxed(inner)),
        Term::TryCatch(inner, catch) => Term::TryCatch(boxed(inner), catch.map(boxed)),
        Term::IfThenElse(branches, other) => {
            let branches = branches.into_iter().map(|(when, then)| (counted(when), counted(then)));
            Term::IfThenElse(branches.collect(), other.map(boxed))
        }
        Term::Def(defs, inner) => Term::Def(defs.into_iter().map(counted_def).collect(), boxed(inner)),
        Term::Fold(name, over, pattern, parts) => {
            let parts = parts.into_iter().map(|part| then(counted(part), WEIGH)).collect();
            Term::Fold(name, Box::new(then(counted(*over), STEP)), counted_pattern(pattern), parts)
        }
        Term::Path(inner, path) => Term::Path(boxed(inner), counted_path(path)),
        Term::BinOp(left, op, right) => operation(counted(*left), op, counted(*right)),
        term => term,
    }
}

fn counted_member<'s>((key, value): JqMember<'s>) -> JqMember<'s> {
    match value {
        Some(value) => (counted(key), Some(counted(value))),
        // A key alone says what it is called.
        None => (key, None),
    }
}

type JqMember<'s> = (Term<&'s str>, Option<Term<&'s str>>);

fn counted_part<'s>(part: StrPart<&'s str, Term<&'s str>>) -> StrPart<&'s str, Term<&'s str>> {
    match part {
        StrPart::Term(term) => StrPart::Term(then(counted(term), WEIGH)),
        part => part,
    }
}

fn operation<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    const FACTOR: &str = "$tapline_factor";
    let (left, right) = (Box::new(left), Box::new(right));
    match op {
        BinaryOp::Math(ops::Math::Mul) => then(Term::Call(TIMES, vec![*left, *right]), WEIGH),
        BinaryOp::UpdateMath(ops::Math::Mul) => {
            let product = then(Term::Call(TIMES, vec![Term::Id, Term::Var(FACTOR)]), WEIGH);
            let update = then(Term::BinOp(left, BinaryOp::Update, Box::new(product)), WEIGH);
            Term::BinOp(right, BinaryOp::Pipe(Some(Pattern::Var(FACTOR))), Box::new(update))
        }
        BinaryOp::Pipe(pattern) => Term::BinOp(left, BinaryOp::Pipe(pattern.map(counted_pattern)), right),
        op @ (BinaryOp::Comma | BinaryOp::Alt | BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_)) => {
            Term::BinOp(left, op, right)
        }
        op => then(Term::BinOp(left, op, right), WEIGH),
    }
}

fn counted_pattern(pattern: Pattern<&str>) -> Pattern<&str> {
    match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(counted_pattern).collect()),
        Pattern::Obj(members) => {
            Pattern::Obj(members.into_iter().map(|(key, inner)| (counted(key), counted_pattern(inner))).collect())
        }
    }
}

fn counted_path(path: Path<Term<&str>>) -> Path<Term<&str>> {
    let parts = path.0.into_iter().map(|(part, opt)| {
        let part = match part {
            Part::Index(index) => Part::Index(counted(index)),
            Part::Range(from, to) => Part::Range(from.map(counted), to.map(counted)),
        };
        (part, opt)
    });
    Path(parts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "{ \"jsonrpc\":\"2.0\", \"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"search\",\"arguments\":{\"q\":\"\\u00e9\",\"n\":12345678901234567890123,\"f\":1.0}} }";

    fn run(program: &str) -> Result<String, JqFault> {
        let program = JqProgram::read(program).unwrap_or_else(|why| panic!("{program}: {why}"));
        program.run(&Message::new(CALL)).map(|it| String::from_utf8_lossy(it.raw()).into_owned())
    }

    #[test]
    fn program_changes_what_it_names_and_no_other_byte() {
        for (program, changed) in [
            (".", CALL.to_owned()),
            (".params.arguments.q = \"x\"", CALL.replace("\\u00e9", "x")),
            (".params.arguments |= (.n = 5 | .q |= ascii_upcase)", CALL.replace("12345678901234567890123", "5")),
            (".params.arguments.n += 1", CALL.replace("0123,", "0124,")),
            ("del(.params.arguments.f)", CALL.replace(",\"f\":1.0", "")),
            (".params.arguments.list = [range(3)]", CALL.replace("1.0}", "1.0,\"list\":[0,1,2]}")),
            ("if .params.name == \"search\" then .params.name = \"find\" else . end", CALL.replace("search", "find")),
            (".params.arguments.q *= 3", CALL.replace("\\u00e9", "ééé")),
            ("walk(if . == 7 then 8 else . end)", CALL.replace(":7,", ":8,")),
            (".params.arguments.q |= gsub(\"é\"; \"e\")", CALL.replace("\\u00e9", "e")),
            (".id = ([limit(300; repeat(1))] | length)", CALL.replace(":7,", ":300,")),
            ("reduce range(3) as $i (.; .id += $i)", CALL.replace(":7,", ":10,")),
            (
                ".params |= with_entries(.key |= if . == \"name\" then \"title\" else . end)",
                CALL.replace("\"name\":\"search\",", "").replace("1.0}}", "1.0},\"title\":\"search\"}"),
            ),
        ] {
            assert_eq!(run(program), Ok(changed), "{program}");
        }
    }

    #[test]
    fn program_that_fails_says_why() {
        for (program, why) in [
            (".id.x", "cannot index"),
            ("error(\"no\")", "no"),
            ("empty", "it gave no result"),
            (".,.", "more than one result"),
        ] {
            match run(program) {
                Err(JqFault::Failed(said)) => assert!(said.contains(why), "{program}: {said}"),
                other => panic!("{program}: {other:?}"),
            }
        }
        for (program, why) in [
            (".a +", "is no jq program"),
            ("env", "there is no `env`"),
            ("halt", "there is no `halt`"),
            ("nothing(1)", "there is no `nothing`"),
        ] {
            let said = JqProgram::read(program).err().unwrap_or_default();
            assert!(said.contains(why), "{program}: {said}");
        }
    }

    #[test]
    fn program_has_a_moment_and_more_for_a_long_message() {
        let now = Instant::now();
        let later = now.checked_add(Duration::from_secs(60));
        let mut fuel = Fuel { most: TIME, looked: Some(now), until: later, ..Fuel::NONE };
        // However long the machine did something else between two looks.
        fuel.looked = now.checked_sub(Duration::from_secs(5));
        assert!(!fuel.is_late() && fuel.ran == LONGEST_LOOK);
        let looks = (2..).find(|_| {
            fuel.looked = now.checked_sub(Duration::from_secs(5));
            fuel.is_late()
        });
        assert_eq!(looks, Some(TIME.div_duration_f64(LONGEST_LOOK).round() as u32 + 1), "a moment of its own time");
        fuel = Fuel { most: TIME, looked: Some(now), until: Some(now), ..Fuel::NONE };
        assert!(fuel.is_late(), "and no more than so long by the clock");
    }

    #[test]
    fn program_without_end_is_ended_soon() {
        for program in [
            "def f: f; f",
            "def f: try f catch f; f",
            "def f: 1 + f; f",
            "last(repeat(1))",
            "range(1e18) | empty",
            "[range(1e18)]",
            "until(false; .)",
            "first(range(1e18) | select(. < 0))",
            "reduce range(1e18) as $i (0; . + $i)",
            "reduce range(60) as $i (\"x\"; . + .)",
            "reduce range(60) as $i ([1]; [., .])",
            "reduce range(100000) as $i (1; [.])",
            "\"x\" * 1e12",
            ".id = \"xxxxxxxx\" * 1e9",
            ".params.name *= 1e12",
            "[limit(1e12; repeat(\"x\"))] | add",
            ".. |= [., ., ., ., ., ., ., ., ., ., ., ., ., ., ., ., ., ., ., .]",
            "try (last(repeat(try error(\"x\") catch .))) catch .",
            "path(last(repeat(.)))",
            "label $x | foreach range(1e18) as $i (0; . + 1; empty)",
        ] {
            let began = Instant::now();
            let ended = run(program);
            assert!(matches!(ended, Err(JqFault::Unbounded(_))), "{program}: {ended:?}");
            assert!(began.elapsed() < Duration::from_secs(5), "{program}: {:?}", began.elapsed());
        }
        assert_eq!(run(".id = 8"), Ok(CALL.replace(":7,", ":8,")), "the next one runs as if nothing had been");
    }
}
