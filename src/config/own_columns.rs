//! `columns`: the columns of the message list that the operator wants, in this order. What is wrong is told all at once, each where it
//! stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::source::{ConfigError, ConfigSource, nearest};
use crate::ui::ListColumn;

const KEY: &str = "columns";

/// What a file says of columns.
pub(super) fn read(source: &ConfigSource) -> Result<Vec<ListColumn>, ConfigError> {
    let (columns, faults) = source.value(KEY, |value| value.map(columns).unwrap_or_default());
    match faults.is_empty() {
        true => Ok(columns),
        false => Err(ConfigError::Several(faults.into_iter().map(|(span, why)| source.fault(span, &why)).collect())),
    }
}

type ReadColumns = (Vec<ListColumn>, Vec<(Range<usize>, String)>);

fn columns(value: &Spanned<DeValue<'_>>) -> ReadColumns {
    let (mut columns, mut faults) = (Vec::new(), Vec::new());
    let list = match value.get_ref() {
        DeValue::Array(list) if !list.is_empty() => list.iter().collect(),
        _ => {
            faults.push((value.span(), format!("a list of columns is expected, of {}", known())));
            Vec::new()
        }
    };
    for item in list {
        match column(item) {
            Ok(column) if columns.contains(&column) => {
                faults.push((item.span(), format!("the column `{}` stands here twice", column.word())));
            }
            Ok(column) => columns.push(column),
            Err(why) => faults.push((item.span(), why)),
        }
    }
    (columns, faults)
}

fn column(item: &Spanned<DeValue<'_>>) -> Result<ListColumn, String> {
    let DeValue::String(word) = item.get_ref() else { return Err(format!("a column is expected, of {}", known())) };
    let named = ListColumn::ALL.into_iter().find(|column| column.word() == &**word);
    named.ok_or_else(|| match nearest(word, ListColumn::ALL.into_iter().map(ListColumn::word)) {
        Some(near) => format!("there is no column `{word}`; did you mean `{near}`?"),
        None => format!("there is no column `{word}`; there are {}", known()),
    })
}

/// All columns there are, in words.
fn known() -> String {
    ListColumn::ALL.map(|column| format!("`{}`", column.word())).join(", ")
}
