//! TOML as a tree with places.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::doc::{Kind, Member, Misread, Node};

/// The tree of a text. Members stand in the order of the text, whichever header they are under.
pub(super) fn parse(text: &str) -> Result<Node, Misread> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Misread::at(text, at, error.message())
    })?;
    Ok(Node { span: 0..text.len(), kind: Kind::Table(members(table.into_inner())) })
}

fn members(table: DeTable<'_>) -> Vec<Member> {
    let mut members: Vec<_> = table.into_iter().map(|(key, value)| member(&key, value)).collect();
    members.sort_by_key(|member| member.key_span.start);
    members
}

fn member(key: &Spanned<DeString<'_>>, value: Spanned<DeValue<'_>>) -> Member {
    Member { key: key.get_ref().to_string(), key_span: key.span(), value: node(value) }
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Array(list) => Kind::List(list.into_iter().map(node).collect()),
        DeValue::Table(table) => Kind::Table(members(table)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => Kind::Other,
    };
    Node { span, kind }
}
