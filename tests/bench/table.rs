//! The one table that comes out: the contenders side by side, the ratio to the floor, and whether a target is met.

use crate::measure::beside_build;

/// The columns, in the order in which the contenders take their turns.
pub(crate) const COLUMNS: [&str; 5] = ["direct", "floor", "hyper", "screen", "headless"];

/// The bare pass-through of the same crates, axum and reqwest: what ratios are against.
pub(crate) const FLOOR: usize = 1;
/// tapline in a terminal, its screen drawn.
pub(crate) const SCREEN: usize = 3;
/// tapline with a line a message on stderr.
pub(crate) const HEADLESS: usize = 4;

/// A figure of each contender; not a number where one has none.
pub(crate) type Figures = [f64; COLUMNS.len()];

/// What design.md §6 asks of tapline's figures in a row, both ways of running it.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// tapline's value divided by the floor's.
    AtMostTimes(f64),
    AtLeastTimes(f64),
    /// tapline's value.
    AtMost(f64),
    /// tapline's value less the floor's.
    AtMostMore(f64),
    /// Shown to explain the others.
    None,
}

pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) figures: Figures,
    /// Of each contender to the floor: the median of the rounds' ratios, which is not quite the ratio of the medians.
    pub(crate) ratios: Figures,
    pub(crate) target: Target,
}

impl Row {
    /// A row of what only some contenders have, without ratios.
    pub(crate) fn plain(what: impl Into<String>, unit: &'static str, figures: Figures, target: Target) -> Self {
        let ratios = figures.map(|figure| figure / figures[FLOOR]);
        Self { what: what.into(), unit, figures, ratios, target }
    }
}

/// The figures of one contender alone.
pub(crate) fn only(column: usize, figure: f64) -> Figures {
    let mut figures = [f64::NAN; COLUMNS.len()];
    figures[column] = figure;
    figures
}

pub(crate) fn print(rows: &[Row]) {
    print!("\n{:<36} {:<8}", "medians of interleaved rounds", "");
    for (column, name) in COLUMNS.iter().enumerate() {
        let name = if *name == "hyper" && beside_build().is_some() { "before" } else { name };
        print!(" {name:>9}");
        if column >= SCREEN {
            print!(" {:>6}", "");
        }
    }
    println!("  target");
    for row in rows {
        print!("{:<36} {:<8}", row.what, row.unit);
        for (column, figure) in row.figures.iter().enumerate() {
            print!(" {:>9}", value(*figure));
            if column >= SCREEN {
                let ratio = row.ratios[column];
                print!(" {:>6}", if ratio.is_nan() { String::new() } else { format!("{ratio:.2}x") });
            }
        }
        println!("  {}", row.target.judge(row));
    }
}

impl Target {
    fn judge(self, row: &Row) -> String {
        let columns = [SCREEN, HEADLESS].into_iter().filter(|column| !row.figures[*column].is_nan());
        let all = |is_met: &dyn Fn(usize) -> bool| columns.clone().all(is_met) && columns.clone().count() > 0;
        let (target, met) = match self {
            Self::AtMostTimes(most) => (format!("at most {most}x"), all(&|it| row.ratios[it] <= most)),
            Self::AtLeastTimes(least) => (format!("at least {least}x"), all(&|it| row.ratios[it] >= least)),
            Self::AtMost(most) => (format!("at most {most} {}", row.unit), all(&|it| row.figures[it] <= most)),
            Self::AtMostMore(most) => {
                (format!("at most {most} more"), all(&|it| row.figures[it] - row.figures[FLOOR] <= most))
            }
            Self::None => return String::new(),
        };
        if columns.count() == 0 {
            return format!("{target}: not measured");
        }
        format!("{target}: {}", if met { "met" } else { "NOT MET" })
    }
}

fn value(value: f64) -> String {
    if value.is_nan() {
        String::new()
    } else if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}
