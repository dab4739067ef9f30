//! The one table that comes out.

/// What design asks of a row.
#[derive(Clone, Copy)]
pub(crate) enum Line {
    /// tapline's value divided by the pass-through's.
    AtMostTimes(f64),
    AtLeastTimes(f64),
    /// tapline's value.
    AtMost(f64),
    /// Shown to explain the others.
    None,
}

pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// `None` where the row is of what a proxy adds.
    pub(crate) direct: Option<f64>,
    /// Not a number where nothing of ours can be compared with it.
    pub(crate) pass_through: f64,
    pub(crate) tapline: f64,
    /// Median of the rounds' ratios, which is not quite the ratio of the medians.
    pub(crate) ratio: f64,
    pub(crate) line: Line,
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "\n{:<34} {:<9} {:>9} {:>12} {:>9} {:>7}  line",
        "medians of interleaved rounds", "", "direct", "pass-through", "tapline", "ratio"
    );
    for row in rows {
        let direct = row.direct.map(value).unwrap_or_default();
        let (what, unit) = (&row.what, row.unit);
        let (pass, tapline) = (value(row.pass_through), value(row.tapline));
        let line = row.line.judge(row.tapline, row.ratio, unit);
        let ratio = if row.ratio.is_nan() { String::new() } else { format!("{:.2}x", row.ratio) };
        println!("{what:<34} {unit:<9} {direct:>9} {pass:>12} {tapline:>9} {ratio:>7}  {line}");
    }
}

impl Line {
    fn judge(self, tapline: f64, ratio: f64, unit: &str) -> String {
        let (line, met) = match self {
            Self::AtMostTimes(most) => (format!("at most {most:.1}x"), ratio <= most),
            Self::AtLeastTimes(least) => (format!("at least {least:.1}x"), ratio >= least),
            Self::AtMost(most) => (format!("at most {most} {unit}"), tapline <= most),
            Self::None => return String::new(),
        };
        format!("{line}: {}", if met { "met" } else { "NOT MET" })
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
