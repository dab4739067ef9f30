//! What may be a secret, and text that cannot hold one.
//!
//! [`is_secret`] is the one judge of names, be they of headers, of arguments or of variables. [`Label`] is the one form in which
//! an upstream is named anywhere (errors, log, tapes, database, screen, registry): it is made here only, and what may be a secret
//! is gone before it is one. Of a URL that is the user and password, every value of its query, and segments of its path that look
//! made up; of a command the values of secret arguments and variables, and words that look like keys.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// Stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// What the names of secrets have in them, written without separators.
const WORDS: [&str; 17] = [
    "token",
    "secret",
    "passw",
    "pwd",
    "passphrase",
    "credential",
    "auth",
    "bearer",
    "cookie",
    "signature",
    "sessionid",
    "jwt",
    "dpop",
    "apikey",
    "accesskey",
    "privatekey",
    "subscriptionkey",
];

/// Words of a name that are secrets by themselves, or at its end.
const WHOLE_WORDS: [&str; 6] = ["key", "keys", "sig", "pass", "otp", "pin"];

/// Names that read like those of secrets and are known to be none: they say how, by whom and how much, or are public by design.
const HARMLESS: [&str; 30] = [
    "accesscontrolallowcredentials",
    "accesscontrolallowheaders",
    "accesscontrolexposeheaders",
    "accesscontrolrequestheaders",
    "author",
    "authority",
    "authors",
    "authorizationserver",
    "authorizationservers",
    "authmethod",
    "authmode",
    "authtype",
    "cachekey",
    "foreignkey",
    "idempotencykey",
    "maxtokens",
    "mintokens",
    "partitionkey",
    "primarykey",
    "progresstoken",
    "proxyauthenticate",
    "publickey",
    "secwebsocketkey",
    "signatureinput",
    "sortkey",
    "surrogatekey",
    "tokenizer",
    "tokens",
    "wwwauthenticate",
    "xidempotencykey",
];

/// How keys of well-known services begin.
const KEY_PREFIXES: [&str; 12] =
    ["sk-", "sk_", "pk_live", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "AKIA", "eyJ"];

/// Letters and digits from which on a word that has both looks made up, as a key is.
const MADE_UP: usize = 32;
/// Characters from which on a secret is looked for in what is said.
const LEAST_TOLD: usize = 6;
/// Letters and digits from which on a segment of a path that has both looks made up: names that people give are shorter there.
const MADE_UP_SEGMENT: usize = 20;

/// Whether what goes by that name is a secret: the name of a header, of an argument (with its dashes or without), of a variable, of
/// a parameter. Case and separators make no difference.
pub fn is_secret(name: &str) -> bool {
    let spelled: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if HARMLESS.contains(&spelled.as_str()) || spelled.starts_with("xratelimit") || spelled.starts_with("ratelimit") {
        return false;
    }
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    WORDS.iter().any(|word| spelled.contains(word))
        || words.any(|word| WHOLE_WORDS.contains(&&*word))
        || ends_in_key(name)
}

/// `licenseKey`, and not `monkey`.
fn ends_in_key(name: &str) -> bool {
    name.strip_suffix("Key").is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

/// An upstream in a few words, for people: it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Label(Arc<str>);

impl Label {
    /// A URL, or what was meant to be one.
    pub fn of_url(url: &str) -> Self {
        Self(without_url_secrets(url).into())
    }

    /// A program and its arguments.
    pub fn of_command<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(masked(words).join(" ").into())
    }

    /// A URL or a command on one line, as it may have been written down elsewhere.
    pub fn of_text(text: &str) -> Self {
        match is_url(text) && !text.contains(char::is_whitespace) {
            true => Self::of_url(text),
            false => Self::of_command(text.split(' ')),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Label> for Arc<str> {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl std::ops::Deref for Label {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of_text(&text))
    }
}

/// What a command was given that its label does not show. Many commands repeat their arguments when they fail.
#[derive(Clone, Debug, Default)]
pub struct GivenSecrets(Vec<String>);

impl GivenSecrets {
    /// The secrets among the words of a command and the variables that it gets.
    pub fn of_command<'a>(
        words: impl IntoIterator<Item = &'a str>,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        let (line, shown) = (words.join(" "), masked(words.iter().copied()).join(" "));
        let variables = variables.into_iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value);
        let hidden = hidden(&line, &shown).into_iter().chain(variables);
        // The password of a user may be said alone.
        let parts = hidden.flat_map(|secret| [Some(secret), secret.split_once(':').map(|(_, part)| part)]);
        let mut secrets: Vec<_> = parts.flatten().map(str::to_owned).collect();
        // Shorter ones are parts of too much.
        secrets.retain(|secret| secret.len() >= LEAST_TOLD);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// Returns `text` with these secrets masked.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in self.0.iter().filter(|secret| text.contains(secret.as_str())) {
            masked = masked.replace(secret.as_str(), REDACTED).into();
        }
        masked
    }
}

/// What stands in `text` where `shown` says that something is redacted.
fn hidden<'a>(text: &'a str, shown: &str) -> Vec<&'a str> {
    let mut pieces = shown.split(REDACTED);
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return Vec::new() };
    let found = pieces.map_while(|piece| {
        let end = if piece.is_empty() { rest.len() } else { rest.find(piece)? };
        let secret = &rest[..end];
        rest = &rest[end + piece.len()..];
        Some(secret)
    });
    found.collect()
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The words of a command, each as it may be shown.
fn masked<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut secret_follows = false;
    let masked = words.into_iter().map(|word| {
        // A flag after a flag: the first had no value.
        let is_flag = word.starts_with("--") || word.starts_with('-') && word.len() <= 2;
        if std::mem::take(&mut secret_follows) && !is_flag && !word.is_empty() {
            // `Authorization: Bearer KEY` may have come apart at its blanks.
            secret_follows = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
            return REDACTED.to_owned();
        }
        secret_follows =
            is_flag && !word.contains('=') && is_secret(word) || word.strip_suffix(':').is_some_and(is_secret);
        masked_word(word).into_owned()
    });
    masked.collect()
}

/// A word of a command as it may be shown, whatever stands before it.
fn masked_word(word: &str) -> Cow<'_, str> {
    if word.contains(char::is_whitespace) {
        // A header, or a script of a shell.
        return match word.split_once(':') {
            Some((name, _)) if is_header_name(name) && is_secret(name) => format!("{name}: {REDACTED}").into(),
            _ => {
                // Its words, with whatever stood between them: no piece has a blank any more.
                let between = word.matches(char::is_whitespace).chain([""]);
                let words = masked(word.split(char::is_whitespace));
                words
                    .into_iter()
                    .zip(between)
                    .flat_map(|(word, blank)| [word, blank.to_owned()])
                    .collect::<String>()
                    .into()
            }
        };
    }
    if is_url(word) {
        let (before, url) = word.split_at(start_of_url(word));
        return format!("{before}{}", without_url_secrets(url)).into();
    }
    match word.split_once(['=', ':']) {
        Some((name, value)) if is_header_name(name) && is_secret(name) && !value.is_empty() => {
            format!("{name}{}{REDACTED}", &word[name.len()..=name.len()]).into()
        }
        Some((name, value)) if looks_made_up(value, MADE_UP) => {
            format!("{name}{}{REDACTED}", &word[name.len()..=name.len()]).into()
        }
        _ if looks_made_up(word, MADE_UP) => REDACTED.into(),
        _ => word.into(),
    }
}

/// Where the scheme of the URL in a word begins, as in `--url=https://host`.
fn start_of_url(word: &str) -> usize {
    let scheme_end = word.find("://").unwrap_or(0);
    let is_of_a_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    word[..scheme_end].rfind(|c| !is_of_a_scheme(c)).map_or(0, |at| at + 1)
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether text looks like a key and like nothing that people make up.
fn looks_made_up(text: &str, least: usize) -> bool {
    let is_of_a_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=' | b'.');
    if !text.bytes().all(is_of_a_key) {
        return false;
    }
    if KEY_PREFIXES.iter().any(|prefix| text.len() >= 16 && text.starts_with(prefix)) {
        return true;
    }
    let (digits, letters) =
        (text.bytes().filter(u8::is_ascii_digit).count(), text.bytes().filter(u8::is_ascii_alphabetic).count());
    // A name with a version, or of a file, has few digits or a dot.
    text.len() >= least && !text.contains('.') && digits >= 4 && letters >= 4
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A URL, whatever its scheme and however malformed, without user and password, values of its query, and fragment.
fn without_url_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (&url[..scheme.len() + 3], rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let has_port =
        |authority: &str| authority.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']') || is_number(port));
    let behind = path.split(['?', '#']).next().and_then(|path| path.rfind('@'));
    let (authority, path) = match (authority.rsplit_once('@'), behind) {
        (Some((_, host)), _) => (format!("{REDACTED}@{host}"), path),
        // A password with a slash in it, which no parser takes for one.
        (None, Some(at)) if !has_port(authority) => (format!("{REDACTED}@"), &path[at + 1..]),
        (None, _) => (authority.to_owned(), path),
    };
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let segments: Vec<_> =
        path.split('/').map(|it| if looks_made_up(it, MADE_UP_SEGMENT) { REDACTED } else { it }).collect();
    let mut masked = format!("{scheme}{authority}{}", segments.join("/"));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, _)) => format!("{name}={REDACTED}"),
            // A value without a name.
            None if parameter.len() >= 8 || is_secret(parameter) || parameter == REDACTED => REDACTED.to_owned(),
            None => parameter.to_owned(),
        });
        masked.push('?');
        masked.push_str(&parameters.collect::<Vec<_>>().join("&"));
    }
    masked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_secret_knows_the_names_of_secrets() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "set-cookie",
            "dpop",
            "mcp-session-id",
            "x-api-key",
            "apikey",
            "x-functions-key",
            "ocp-apim-subscription-key",
            "x-access-key",
            "x-signature",
            "x-session-id",
            "x-goog-api-key",
            "x-amz-security-token",
            "cf-access-client-secret",
            "x-hub-signature-256",
            "x-auth-token",
            "--api-key",
            "--token",
            "-password",
            "API_KEY",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "apiKey",
            "licenseKey",
            "key",
            "sig",
            "OPENAI_API_KEY",
            "DB_PASSWORD",
            "session_id",
            "oauth",
            "DB_PASS",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "content-type",
            "mcp-protocol-version",
            "www-authenticate",
            "author",
            "authority",
            "max_tokens",
            "--max-tokens",
            "idempotency-key",
            "sec-websocket-key",
            "access-control-allow-credentials",
            "monkey",
            "keyboard",
            "host",
            "region",
            "x-ratelimit-remaining-tokens",
            "user-agent",
            "mcp-method",
            "--verbose",
            "PATH",
            "compass",
            "public-key",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn label_hides_credentials() {
        for (text, expected) in [
            ("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000/mcp"),
            ("https://me:pw@host/mcp", "https://[redacted]@host/mcp"),
            ("https://host/mcp?apiKey=1&x=2#f", "https://host/mcp?apiKey=[redacted]&x=[redacted]"),
            ("https://host/s/3f2a9c1e7b8d4c6fa0e1/mcp", "https://host/s/[redacted]/mcp"),
            ("ht!tp://me:pw@host", "ht!tp://[redacted]@host"),
            ("http://me:p/w@host/x", "http://[redacted]@host/x"),
            ("server --token abc --verbose", "server --token [redacted] --verbose"),
            ("API_KEY=abc server --password=x dir", "API_KEY=[redacted] server --password=[redacted] dir"),
            ("server --key --fast", "server --key --fast"),
            ("server --key -abc", "server --key [redacted]"),
            ("npx remote https://u:p@h/x?k=v -y", "npx remote https://[redacted]@h/x?k=[redacted] -y"),
            ("server --url=https://u:p@h/x", "server --url=https://[redacted]@h/x"),
            ("server sk-abcdefghijklmnop1234", "server [redacted]"),
            ("npx -y @modelcontextprotocol/server-everything", "npx -y @modelcontextprotocol/server-everything"),
            ("uvx mcp-server-fetch==2025.4.7 --max-tokens 7", "uvx mcp-server-fetch==2025.4.7 --max-tokens 7"),
        ] {
            assert_eq!(Label::of_text(text).as_str(), expected, "{text}");
        }
        for (words, expected) in [
            (&["r", "--header", "Authorization: Bearer K"][..], "r --header Authorization: [redacted]"),
            (&["r", "--header", "Authorization:K"], "r --header Authorization:[redacted]"),
            (&["sh", "-c", "TOKEN=K exec s --api-key K"], "sh -c TOKEN=[redacted] exec s --api-key [redacted]"),
            (&["s", "--api-key", "a b"], "s --api-key [redacted]"),
            (&["sh", "-c", "a\n\tTOKEN=K b"], "sh -c a\n\tTOKEN=[redacted] b"),
            (&["sh", "-c", "one\ntwo"], "sh -c one\ntwo"),
        ] {
            assert_eq!(Label::of_command(words.iter().copied()).as_str(), expected);
        }
        assert_eq!(Label::of_url("me:pw@host/mcp?apiKey=K").as_str(), "[redacted]@host/mcp?apiKey=[redacted]");
        assert_eq!(Label::of_url("http:/host/mcp?key=K").as_str(), "http:/host/mcp?key=[redacted]");
    }

    #[test]
    fn given_secrets_are_taken_out_of_what_a_command_says() {
        let words =
            ["s", "--api-key", "first1", "--pin", "12", "TOKEN=second", "http://u:third3@h/?k=fourth", "plain1"];
        let secrets = GivenSecrets::of_command(words, [("DB_PASSWORD", "fifth5"), ("REGION", "europe")]);
        let said = "usage: first1 12 [second] third3 fourth! fifth5 europe plain1";
        assert_eq!(
            secrets.masked(said),
            "usage: [redacted] 12 [[redacted]] [redacted] [redacted]! [redacted] europe plain1"
        );
        assert!(matches!(secrets.masked("nothing of it"), Cow::Borrowed(_)));
        assert_eq!(GivenSecrets::of_command(["s", "x"], []).masked("s x"), "s x");
    }

    proptest! {
        #[test]
        fn label_holds_no_secret_and_stays_as_it_is(
            secret in "[a-zA-Z0-9]{6}Z9z",
            place in prop::sample::select(vec![
                "http://h/mcp?apiKey=S", "https://u:S@h/mcp", "http://S@h", "server --api-key S", "server --api-key=S x",
                "TOKEN=S server", "s --url http://h/?a=b&token=S", "s -H Authorization:S", "postgres://u:S@db/x", "http://h/?S",
            ]),
        ) {
            let label = Label::of_text(&place.replace('S', &secret));
            prop_assert!(!label.contains(&secret), "{label}");
            prop_assert_eq!(Label::of_text(&label), label.clone());
            let read: Label = serde_json::from_str(&serde_json::to_string(&label).unwrap()).unwrap();
            prop_assert_eq!(read, label);
        }
    }
}
