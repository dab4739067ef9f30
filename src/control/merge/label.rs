//! What taplines are called beside each other.

use std::collections::BTreeMap;

use super::{About, SourceId};

/// Each by its name. Those of one name get the shortest thing that tells them apart: the port where clients come in, else the process.
pub(super) fn labels(abouts: &[(SourceId, &About)]) -> BTreeMap<SourceId, String> {
    let mut labels = BTreeMap::new();
    for (at, (id, about)) in abouts.iter().enumerate() {
        let alike: Vec<_> = abouts.iter().filter(|(_, other)| other.name == about.name).map(|(_, it)| *it).collect();
        let label = match alike.len() {
            1 => about.name.clone(),
            _ if is_told_by(&alike, port) => format!("{}@:{}", about.name, port(about).unwrap_or_default()),
            _ if is_told_by(&alike, |it| it.pid) => format!("{}@{}", about.name, about.pid.unwrap_or_default()),
            // Of the same port on two machines.
            _ => format!("{}@{}", about.name, at + 1),
        };
        labels.insert(*id, label);
    }
    labels
}

/// Whether all have it, and each another.
fn is_told_by<T: Ord>(alike: &[&About], what: impl Fn(&About) -> Option<T>) -> bool {
    let Some(mut all) = alike.iter().map(|about| what(about)).collect::<Option<Vec<_>>>() else { return false };
    all.sort_unstable();
    all.windows(2).all(|pair| pair[0] != pair[1])
}

fn port(about: &About) -> Option<u16> {
    let (_, rest) = about.front.split_once("://")?;
    rest.split('/').next()?.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_is_the_name_and_of_two_alike_what_differs() {
        let of = |all: &[(&str, &str, Option<u32>)]| {
            let about = |&(name, front, pid): &(&str, &str, Option<u32>)| {
                let (name, front) = (name.to_owned(), front.to_owned());
                About { name, front, upstream: String::new(), pid }
            };
            let abouts: Vec<_> = all.iter().map(about).collect();
            let abouts: Vec<_> = (1..).map(SourceId).zip(&abouts).collect();
            labels(&abouts).into_values().collect::<Vec<_>>().join(" ")
        };
        let (one, two) = ("http://127.0.0.1:7070/mcp", "http://127.0.0.1:7071/mcp");
        assert_eq!(of(&[("a", one, Some(1)), ("b", one, Some(2))]), "a b");
        assert_eq!(of(&[("a", one, Some(1)), ("a", two, Some(2)), ("b", two, Some(3))]), "a@:7070 a@:7071 b");
        assert_eq!(of(&[("a", "stdio", Some(41)), ("a", two, Some(2))]), "a@41 a@2");
        assert_eq!(of(&[("a", one, None), ("a", one, Some(2))]), "a@1 a@2");
    }
}
