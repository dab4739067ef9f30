//! Source files as the rules see them: code without comments, literals and tests, in tokens.

use std::fs;
use std::path::Path;

/// A file of the crate, with what its rules ask of it.
pub(super) struct SourceFile {
    /// Below the root of the repository, `src/proxy/mod.rs`.
    pub(super) path: String,
    /// Where its module stands below `crate`; empty for the root itself.
    pub(super) module: Vec<String>,
    /// Its words and signs, without comments, the insides of literals, and whatever is compiled for tests only.
    pub(super) tokens: Vec<Token>,
}

/// One identifier, `::`, or other sign.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(super) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Returns every `.rs` file below `dir`, by name: path below the repository, and text.
pub(super) fn texts(dir: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut dirs = vec![root.join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

/// Returns the files below `src` that are more than tests.
pub(super) fn files() -> Vec<SourceFile> {
    let mut test_modules = Vec::new();
    let mut files = Vec::new();
    for (path, text) in texts("src") {
        let module = module(&path);
        let (tokens, declared) = without_tests(&tokens(&without_literals(&text)));
        test_modules.extend(declared.into_iter().map(|name| [module.clone(), vec![name]].concat()));
        files.push(SourceFile { path, module, tokens });
    }
    files.retain(|file| !test_modules.iter().any(|tests| file.module.starts_with(tests)));
    files
}

fn module(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<_> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || path == "lib" {
        parts.pop();
    }
    parts
}

/// Blanks comments and what stands between quotes; every line keeps its number.
fn without_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` where none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let starts = |at: usize, with: &str| with.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let find = |from: usize, what: &str| (from..chars.len()).find(|at| starts(*at, what)).unwrap_or(chars.len());
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if starts(at, "//") => find(at, "\n"),
        '/' if starts(at, "/*") => find(at, "*/") + 2,
        'r' if !in_word || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if chars.get(at + 1 + hashes) != Some(&'"') {
                return at;
            }
            let close = format!("\"{}", "#".repeat(hashes));
            find(at + 2 + hashes, &close) + close.len()
        }
        '"' => quote_end(chars, at, '"'),
        '\'' if chars.get(at + 1) == Some(&'\\') => quote_end(chars, at, '\''),
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn quote_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                first if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                first => first.len_utf8(),
            };
            tokens.push(Token { text: rest[..length].to_owned(), line: number + 1 });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Leaves out what stands behind `#[cfg(test)]`; returns the rest, and the names of modules declared there.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut declared) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().map(|token| token.text.as_str()).take(CFG_TEST.len()).eq(CFG_TEST) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = item_end(tokens, at + CFG_TEST.len());
        if tokens[end - 1].is(";") && tokens[end - 3].is("mod") {
            declared.push(tokens[end - 2].text.clone());
        }
        at = end;
    }
    (kept, declared)
}

/// Behind the item that begins at `at`: its `;`, or the `}` of its block.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let open = (at..tokens.len()).find(|at| tokens[*at].is("{") || tokens[*at].is(";")).unwrap();
    if tokens[open].is(";") { open + 1 } else { block_end(tokens, open) }
}

/// Behind the brace that closes the one at `open`.
pub(super) fn block_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[test]
fn test_code_is_cut_wherever_it_stands() {
    let code = "#[cfg(test)]\nmod tests;\nuse crate::a;\n#[cfg(test)]\nmod tests {\n  use crate::b; // }\n}\nfn x() { '{'; \"}\"; }\n";
    let (tokens, declared) = without_tests(&tokens(&without_literals(code)));
    let words: Vec<_> = tokens.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(words.join(" "), "use crate :: a ; fn x ( ) { ; ; }");
    assert_eq!(tokens[5].line, 8);
    assert_eq!(declared, ["tests"]);
}
