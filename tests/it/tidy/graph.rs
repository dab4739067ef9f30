//! Which file needs which: paths of the code, resolved to the file where what they name is defined.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceFile, Token};

/// Imports between the files of the crate.
pub(super) struct Graph<'a> {
    files: &'a [SourceFile],
    modules: BTreeMap<&'a [String], usize>,
    /// Names that a file brings in, with the path from the root that they stand for.
    aliases: Vec<BTreeMap<String, Vec<String>>>,
    /// Every path into the crate.
    pub(super) references: Vec<Reference>,
    /// By file, what it needs.
    needs: Vec<BTreeSet<usize>>,
}

/// A path of the code that leads into the crate.
pub(super) struct Reference {
    pub(super) file: usize,
    pub(super) line: usize,
    /// From the root.
    pub(super) path: Vec<String>,
}

/// One name of a `use`, or one path of an expression.
struct Named {
    line: usize,
    /// As it stands there.
    path: Vec<String>,
    /// The name that it gets, where it is a `use`.
    alias: Option<String>,
    /// A `pub use`.
    is_public: bool,
}

impl<'a> Graph<'a> {
    pub(super) fn new(files: &'a [SourceFile]) -> Self {
        let modules = files.iter().enumerate().map(|(at, file)| (&file.module[..], at)).collect();
        let mut graph = Self { files, modules, aliases: Vec::new(), references: Vec::new(), needs: Vec::new() };
        let (uses, paths): (Vec<_>, Vec<_>) = files.iter().map(|file| named(&file.tokens)).unzip();
        graph.aliases = vec![BTreeMap::new(); files.len()];
        for (file, uses) in uses.iter().enumerate() {
            for named in uses {
                if let (Some(alias), Some(path)) = (&named.alias, graph.absolute(file, &named.path)) {
                    graph.aliases[file].insert(alias.clone(), path);
                }
            }
        }
        for (file, (uses, paths)) in uses.iter().zip(&paths).enumerate() {
            let needs = graph.needs_of(file, uses, paths);
            graph.needs.push(needs);
        }
        graph
    }

    fn needs_of(&mut self, file: usize, uses: &[Named], paths: &[Named]) -> BTreeSet<usize> {
        let mut needs = BTreeSet::new();
        for named in uses.iter().chain(paths) {
            let Some(path) = self.absolute(file, &named.path) else { continue };
            // A module that is brought in is needed where a path goes on from it; what is only handed on, by nobody here.
            let is_module = named.alias.is_some() && self.modules.contains_key(&path[..]);
            let is_handed_on = named.is_public && !self.speaks_of(file, named.alias.as_deref());
            if !is_module && !is_handed_on {
                needs.insert(self.defining(&path, 0));
            }
            self.references.push(Reference { file, line: named.line, path });
        }
        needs.remove(&file);
        needs
    }

    /// Whether the file has that name in its own code, beside the `use`.
    fn speaks_of(&self, file: usize, name: Option<&str>) -> bool {
        let mut in_use = false;
        self.files[file].tokens.iter().any(|token| {
            in_use = token.is("use") || (in_use && !token.is(";"));
            !in_use && name.is_some_and(|name| token.is(name))
        })
    }

    /// The path from the root that a path in this file stands for; nothing where it leads out of the crate.
    fn absolute(&self, file: usize, path: &[String]) -> Option<Vec<String>> {
        let here = &self.files[file].module;
        let head = path[0].as_str();
        if head == "crate" || (head == "tapline" && here == &["main"]) {
            return Some(path[1..].to_vec());
        }
        if head == "self" || head == "super" {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let from = &here[..here.len() - ups];
            let rest = path.iter().skip_while(|part| *part == "super" || *part == "self");
            return Some(from.iter().chain(rest).cloned().collect());
        }
        let child = [&here[..], &path[..1]].concat();
        let base =
            if self.modules.contains_key(&child[..]) { Some(child) } else { self.aliases[file].get(head).cloned() };
        base.map(|base| [&base, &path[1..]].concat())
    }

    /// The file that defines what a path names: whoever only hands it on is passed by.
    fn defining(&self, path: &[String], passed: usize) -> usize {
        let mut file = self.modules[&[][..]];
        for (at, part) in path.iter().enumerate() {
            if let Some(child) = self.modules.get(&path[..=at]) {
                file = *child;
                continue;
            }
            return match self.aliases[file].get(part) {
                Some(target) if passed < 8 => self.defining(&[target, &path[at + 1..]].concat(), passed + 1),
                _ => file,
            };
        }
        file
    }

    /// Sets of files each of which needs, by some way, every other; the largest first.
    pub(super) fn circles(&self) -> Vec<Vec<&'a str>> {
        let reached: Vec<_> = (0..self.files.len()).map(|from| self.reached(from)).collect();
        let mut circles = BTreeSet::new();
        for from in 0..self.files.len() {
            let circle: Vec<_> = reached[from].iter().copied().filter(|to| reached[*to].contains(&from)).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        let mut circles: Vec<Vec<_>> = circles
            .into_iter()
            .map(|circle| circle.into_iter().map(|at| self.files[at].path.as_str()).collect())
            .collect();
        circles.sort_by_key(|circle| usize::MAX - circle.len());
        circles
    }

    fn reached(&self, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            next.extend(self.needs[file].iter().filter(|to| reached.insert(**to)));
        }
        reached
    }

    /// Pairs of files, the first of which needs the second.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let path = |at: usize| self.files[at].path.as_str();
        self.needs.iter().enumerate().flat_map(move |(from, needs)| needs.iter().map(move |to| (path(from), path(*to))))
    }

    pub(super) fn path(&self, file: usize) -> &'a str {
        &self.files[file].path
    }
}

/// What the `use`s of a file name, and the paths of all other code.
fn named(tokens: &[Token]) -> (Vec<Named>, Vec<Named>) {
    let (mut uses, mut paths) = (Vec::new(), Vec::new());
    let mut at = 0;
    let mut is_public = false;
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is("pub") {
            is_public = true;
            at += 1;
            if tokens[at].is("(") {
                at += tokens[at..].iter().position(|token| token.is(")")).unwrap() + 1;
            }
            continue;
        }
        let previous = at.checked_sub(1).map(|at| &tokens[at]);
        if token.is("use")
            && previous.is_none_or(|token| [";", "}", "{", "]", ")", "pub"].iter().any(|sign| token.is(sign)))
        {
            at = tree(tokens, at + 1, &[], is_public, &mut uses);
        } else if token.is_name()
            && tokens.get(at + 1).is_some_and(|next| next.is("::"))
            && previous.is_none_or(|token| !token.is("::"))
        {
            let mut path = vec![token.text.clone()];
            while tokens.get(at + 1).is_some_and(|next| next.is("::")) && tokens.get(at + 2).is_some_and(Token::is_name)
            {
                path.push(tokens[at + 2].text.clone());
                at += 2;
            }
            paths.push(Named { line: token.line, path, alias: None, is_public: false });
        }
        is_public = false;
        at += 1;
    }
    (uses, paths)
}

/// Reads one tree of a `use`; returns where it ends, at its `,`, `}` or `;`.
fn tree(tokens: &[Token], mut at: usize, base: &[String], is_public: bool, into: &mut Vec<Named>) -> usize {
    let line = tokens[at].line;
    let mut path = base.to_vec();
    let mut alias = None;
    loop {
        let token = &tokens[at];
        match token.text.as_str() {
            // Out of the crate, whatever stands beside this file: `use ::http::Method`.
            "::" if path.is_empty() => path.push("::".to_owned()),
            "::" => {}
            "{" => {
                while !tokens[at].is("}") {
                    at = tree(tokens, at + 1, &path, is_public, into);
                }
                return at + 1;
            }
            "," | "}" | ";" => break,
            "as" => {
                alias = Some(tokens[at + 1].text.clone());
                at += 1;
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    if let Some(last) = path.last() {
        let alias = alias.unwrap_or_else(|| last.clone());
        into.push(Named { line, path, alias: Some(alias), is_public });
    }
    at
}

#[test]
fn imports_resolve_to_the_file_that_defines() {
    let file = |path: &str, module: &[&str], code: &str| {
        let tokens = code.split(' ').map(|word| Token { text: word.to_owned(), line: 1 }).collect();
        let module = module.iter().map(|part| (*part).to_owned()).collect();
        SourceFile { path: path.to_owned(), module, tokens }
    };
    let files = [
        file("lib.rs", &[], "mod a ;"),
        file("a/mod.rs", &["a"], "mod b ; mod c ; pub use self :: b :: { B , other as O } ;"),
        file("a/b.rs", &["a", "b"], "use super :: c ; fn f ( ) { c :: g ( ) }"),
        file(
            "a/c.rs",
            &["a", "c"],
            "use crate :: a :: { self , O } ; use std :: fmt ; use :: b :: X ; fn g ( ) { fmt :: x ( ) }",
        ),
    ];
    let graph = Graph::new(&files);
    let edges: Vec<_> = graph.edges().collect();
    assert_eq!(edges, [("a/b.rs", "a/c.rs"), ("a/c.rs", "a/b.rs")]);
    assert_eq!(graph.circles(), [["a/b.rs", "a/c.rs"]]);
}
