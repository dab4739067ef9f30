//! TOML as a tree with places.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::doc::{ConfigSyntaxError, DocMember, DocNode, NodeKind};

/// The tree of a text. Members stand in the order of the text, whichever header they are under.
pub(super) fn parse(text: &str) -> Result<DocNode, ConfigSyntaxError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ConfigSyntaxError::at(text, at, error.message())
    })?;
    Ok(DocNode { span: 0..text.len(), kind: NodeKind::Table(members(table.into_inner())) })
}

fn members(table: DeTable<'_>) -> Vec<DocMember> {
    let mut members: Vec<_> = table.into_iter().map(|(key, value)| member(&key, value)).collect();
    members.sort_by_key(|member| member.key_span.start);
    members
}

fn member(key: &Spanned<DeString<'_>>, value: Spanned<DeValue<'_>>) -> DocMember {
    DocMember { key: key.get_ref().to_string(), key_span: key.span(), value: node(value) }
}

fn node(value: Spanned<DeValue<'_>>) -> DocNode {
    let span = value.span();
    let kind = match value.into_inner() {
        DeValue::String(text) => NodeKind::Text(text.into_owned()),
        DeValue::Array(list) => NodeKind::List(list.into_iter().map(node).collect()),
        DeValue::Table(table) => NodeKind::Table(members(table)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => NodeKind::Other,
    };
    DocNode { span, kind }
}
