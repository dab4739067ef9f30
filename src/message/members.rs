//! The members of JSON objects, each with its text as it came.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{scan, without_bom};

/// The members of an object in order, duplicates included, each with the text of its value.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, &'a str)>;

/// The top-level members of an object in order, duplicates included.
pub(crate) fn read_members(raw: &[u8]) -> Option<Members<'_>> {
    let text = std::str::from_utf8(without_bom(raw)).ok()?;
    members_of(text).ok()
}

/// The top-level members of an object in order, duplicates included, and why there are none where the text is no object.
pub(crate) fn members_of(text: &str) -> serde_json::Result<Members<'_>> {
    match scan::members(text) {
        Some(members) => Ok(members),
        None => serde_json::from_str::<MembersOf<'_>>(text).map(|members| members.0),
    }
}

/// The top-level members of an object as [`read_members`], and those of the last that is called `holder`, where that is an object.
pub(crate) fn read_members_with<'a>(raw: &'a [u8], holder: &str) -> Option<(Members<'a>, Option<Members<'a>>)> {
    let text = std::str::from_utf8(without_bom(raw)).ok()?;
    scan::members_with(text, holder).or_else(|| {
        let members = members_of(text).ok()?;
        let held = members.iter().rev().find(|(key, _)| key == holder);
        let inner = held.and_then(|(_, value)| members_of(value).ok());
        Some((members, inner))
    })
}

/// The texts of the items of an array; none of what is no array.
pub(crate) fn items_of(text: &str) -> Vec<&str> {
    scan::items(text).unwrap_or_else(|| {
        let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        items.into_iter().map(RawValue::get).collect()
    })
}

/// By hand: a derived struct would take an array for an object and refuse duplicate keys.
struct MembersOf<'a>(Members<'a>);

impl<'de> Deserialize<'de> for MembersOf<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOnly;
        impl<'de> Visitor<'de> for ObjectOnly {
            type Value = MembersOf<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                members_in(map).map(MembersOf)
            }
        }
        deserializer.deserialize_map(ObjectOnly)
    }
}

fn members_in<'de, A: MapAccess<'de>>(mut map: A) -> Result<Members<'de>, A::Error> {
    let mut members = Vec::with_capacity(5);
    while let Some(MemberKey(key)) = map.next_key()? {
        members.push((key, map.next_value::<&RawValue>()?.get()));
    }
    Ok(members)
}

/// A key borrowed where it has no escapes (`Cow` alone always copies).
pub(super) struct MemberKey<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for MemberKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyStr;
        impl<'de> Visitor<'de> for AnyStr {
            type Value = MemberKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
                Ok(MemberKey(Cow::Borrowed(s)))
            }

            fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
                Ok(MemberKey(Cow::Owned(s.to_owned())))
            }
        }
        deserializer.deserialize_str(AnyStr)
    }
}

/// What stands at the top level of a message, as far as its head needs it.
pub(super) enum HeadValue<'a> {
    /// A token as it is written in the message.
    Token(&'a [u8]),
    /// The members of `params`; `None` where `params` is no object.
    Params(Option<ParamMembers<'a>>),
}

/// The members of `params` in order, each with its text.
pub(super) type ParamMembers<'a> = Vec<(Cow<'a, str>, &'a [u8])>;

impl<'a> HeadValue<'a> {
    pub(super) fn token(&self) -> Option<&'a str> {
        match self {
            Self::Token(token) => std::str::from_utf8(token).ok(),
            Self::Params(_) => None,
        }
    }

    pub(super) fn params(&self) -> Option<&ParamMembers<'a>> {
        match self {
            Self::Params(params) => params.as_ref(),
            Self::Token(_) => None,
        }
    }
}

pub(super) type HeadMembers<'a> = Vec<(Cow<'a, str>, HeadValue<'a>)>;

/// The members of a message, with those of `params` from the same reading. What that does not take (in the place of `params`,
/// a number beyond all bounds) may be JSON all the same: it is read again, token by token.
pub(super) fn head_members(text: &str) -> serde_json::Result<HeadMembers<'_>> {
    if let Ok(HeadMembersOf(members)) = serde_json::from_str(text) {
        return Ok(members);
    }
    let members = members_of(text)?.into_iter().map(|(key, token)| match &*key {
        "params" => (key, HeadValue::Params(members_of(token).ok().map(texts))),
        _ => (key, HeadValue::Token(token.as_bytes())),
    });
    Ok(members.collect())
}

fn texts(members: Members<'_>) -> ParamMembers<'_> {
    members.into_iter().map(|(key, value)| (key, value.as_bytes())).collect()
}

struct HeadMembersOf<'a>(HeadMembers<'a>);

impl<'de> Deserialize<'de> for HeadMembersOf<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadVisitor;
        impl<'de> Visitor<'de> for HeadVisitor {
            type Value = HeadMembersOf<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(5);
                while let Some(MemberKey(key)) = map.next_key()? {
                    let value = match &*key {
                        "params" => HeadValue::Params(map.next_value::<ParamsOf<'_>>()?.0.map(texts)),
                        _ => HeadValue::Token(map.next_value::<&RawValue>()?.get().as_bytes()),
                    };
                    members.push((key, value));
                }
                Ok(HeadMembersOf(members))
            }
        }
        deserializer.deserialize_map(HeadVisitor)
    }
}

/// The members of an object; nothing of what is none.
struct ParamsOf<'a>(Option<Members<'a>>);

impl<'de> Deserialize<'de> for ParamsOf<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamsVisitor;
        impl<'de> Visitor<'de> for ParamsVisitor {
            type Value = ParamsOf<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                members_in(map).map(Some).map(ParamsOf)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ParamsOf(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(ParamsOf(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(ParamsOf(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(ParamsOf(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(ParamsOf(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(ParamsOf(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(ParamsOf(None))
            }
        }
        deserializer.deserialize_any(ParamsVisitor)
    }
}
