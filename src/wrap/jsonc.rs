//! JSON with comments and trailing commas, as a tree with places.

use jsonc_parser::ast::{ObjectProp, ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::doc::{ConfigSyntaxError, DocMember, DocNode, NodeKind};

/// What editors take: comments and trailing commas, and nothing else beside JSON.
const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The tree of a text; a text without a value is an empty table.
pub(super) fn parse(text: &str) -> Result<DocNode, ConfigSyntaxError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &DIALECT).map_err(|error| {
        let message = error.kind().to_string();
        ConfigSyntaxError::at(text, error.range().start, message.to_lowercase())
    })?;
    Ok(parsed.value.map_or(DocNode { span: 0..0, kind: NodeKind::Table(Vec::new()) }, node))
}

fn node(value: Value<'_>) -> DocNode {
    let range = value.range();
    let kind = match value {
        Value::StringLit(string) => NodeKind::Text(string.value.into_owned()),
        Value::Array(array) => NodeKind::List(array.elements.into_iter().map(node).collect()),
        Value::Object(object) => NodeKind::Table(object.properties.into_iter().map(member).collect()),
        Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => NodeKind::Other,
    };
    DocNode { span: range.start..range.end, kind }
}

fn member(property: ObjectProp<'_>) -> DocMember {
    let range = match &property.name {
        ObjectPropName::String(name) => name.range,
        ObjectPropName::Word(name) => name.range,
    };
    DocMember { key: property.name.into_string(), key_span: range.start..range.end, value: node(property.value) }
}
