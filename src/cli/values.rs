//! How values are written on the command line and in files of settings: addresses, URLs, times, headers. `topics.rs` tells people.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::event::{MockOrder, MockRepeats, Speed, TapeForm};
use crate::shadow::{PlaceError, ShadowPlace};
use crate::text;
use crate::variables::expand;

/// The headers that a file holds.
#[derive(Clone, Debug)]
pub struct HeaderFile(pub Vec<(HeaderName, HeaderValue)>);

impl ValueEnum for TapeForm {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(self.word().into())
    }
}

impl ValueEnum for MockOrder {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(self.word().into())
    }
}

impl ValueEnum for MockRepeats {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(self.word().into())
    }
}

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorArg {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

impl ColorArg {
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Whether what goes to a terminal, or to something else, has colour.
    pub fn is_wanted(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => is_terminal && !is_plain_wanted() && !is_terminal_dumb(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

fn is_plain_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Which colours the screen has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeArg {
    /// As the terminal's background is, where it says so
    #[default]
    Auto,
    Dark,
    Light,
    Contrast,
    Ansi,
    Mono,
}

/// Whether the terminal can do no more than print: `TERM=dumb`, or none that is known.
pub fn is_terminal_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

/// Reads an address to listen on: `127.0.0.1:7070`, `[::1]:7070`, `localhost:7070`, `:7070`, `7070`. Without a host it is one of this
/// machine: to be reached from elsewhere takes an explicit one.
///
/// # Errors
/// Where it is none of these.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let is_here = host.is_empty() || host.eq_ignore_ascii_case("localhost");
    match port.parse().ok().filter(|_| is_here && port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => Err("an address to listen on is such as `127.0.0.1:7070`, `[::1]:7070`, `localhost:7070` or `7070`; `0.0.0.0:7070` is \
                     reached from elsewhere, too"
            .to_owned()),
    }
}

/// Reads the URL of a server as people write it: to `127.0.0.1:9000`, `localhost:9000/mcp`, `:9000` or `9000` what is missing is added, a
/// scheme and the usual path. Anything else is left as it is.
pub fn server_url(text: &str) -> String {
    let text = text.trim();
    let (authority, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
    let (host, port) = authority.rsplit_once(':').unwrap_or(match authority.parse::<u16>() {
        Ok(_) => ("", authority),
        Err(_) => (authority, ""),
    });
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0) && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_here = host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok();
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some();
    let is_name = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if !(is_port && (is_address || is_name(host)) || port.is_empty() && is_here) {
        return text.to_owned();
    }
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let colon = if port.is_empty() { "" } else { ":" };
    let path = if path.is_empty() { "/mcp" } else { path };
    format!("http://{host}{colon}{port}{path}")
}

/// A URL, which may be written as those of upstreams are, or a command line.
pub(super) fn shadow_place(text: &str) -> Result<ShadowPlace, PlaceError> {
    server_url(text).parse()
}

pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header reads `name: value`")?;
    // It may be the secret itself.
    let name = name.trim().parse().map_err(|_| "what stands before the `:` is not a header name".to_owned())?;
    let value = expand(value.trim(), |name| std::env::var(name).ok())?;
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| "the value holds characters no header may hold")?;
    value.set_sensitive(true);
    Ok((name, value))
}

pub(super) fn header_file(path: &str) -> Result<HeaderFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // Editors of some systems begin a file so.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let headers = lines.map(|(number, line)| header(line).map_err(|why| format!("line {number}: {why}")));
    headers.collect::<Result<_, _>>().map(HeaderFile)
}

pub(super) fn time_above_zero(text: &str) -> Result<Duration, String> {
    text::duration(text).and_then(|time| {
        if time.is_zero() { Err("a time above zero is needed, such as `10s`".to_owned()) } else { Ok(time) }
    })
}

/// An age with its unit: `30` alone could be days or seconds.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    match text.trim().parse::<f64>() {
        Ok(_) => Err(format!("`{}` of what? write it like `12h` or `30d`", text.trim())),
        Err(_) => text::duration(text),
    }
}

pub(super) fn count<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "a whole number is wanted, without a unit")
}

pub(super) fn count_above_zero<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "a whole number above 0 is wanted, without a unit")
}

pub(super) fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("a number above 0, or `max`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn count_says_what_it_wants() {
        assert_eq!((count("0"), count_above_zero("8").map(NonZeroUsize::get)), (Ok(0_u64), Ok(8)));
        for text in ["lots", "512M", "-1", "1.5", ""] {
            assert_eq!(count::<u64>(text), Err("a whole number is wanted, without a unit"), "{text}");
        }
        assert!(count_above_zero::<NonZeroUsize>("0").unwrap_err().contains("above 0"));
    }

    #[test]
    fn listen_address_is_read_as_people_write_it() {
        for (text, address) in [
            ("127.0.0.1:7070", "127.0.0.1:7070"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:7070", "[::1]:7070"),
            ("7070", "127.0.0.1:7070"),
            (":7070", "127.0.0.1:7070"),
            (" localhost:0 ", "127.0.0.1:0"),
            ("LocalHost:7070", "127.0.0.1:7070"),
        ] {
            assert_eq!(listen_address(text).map(|it| it.to_string()).as_deref(), Ok(address), "{text}");
        }
        for text in ["", ":", "here", "localhost", "70700", "+70", "devbox:7070", "http://127.0.0.1:7070", "127.0.0.1"]
        {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn server_url_gets_what_is_missing() {
        for (text, url) in [
            ("127.0.0.1:9000", "http://127.0.0.1:9000/mcp"),
            ("127.0.0.1:9000/", "http://127.0.0.1:9000/"),
            ("localhost:9000/sse", "http://localhost:9000/sse"),
            ("localhost", "http://localhost/mcp"),
            (":9000", "http://127.0.0.1:9000/mcp"),
            ("9000", "http://127.0.0.1:9000/mcp"),
            ("[::1]:9000", "http://[::1]:9000/mcp"),
            ("devbox:9000/x?y=1", "http://devbox:9000/x?y=1"),
        ] {
            assert_eq!(server_url(text), url, "{text}");
        }
        for text in [
            "nonsense",
            "example.com/mcp",
            "weather",
            "http://127.0.0.1:9000",
            "a:b",
            "python x.py:3",
            "x:0",
            "",
            "70000",
        ] {
            assert_eq!(server_url(text), text);
        }
    }

    #[test]
    fn shadow_is_an_address_as_an_upstream_is() {
        for (text, url) in [("127.0.0.1:9001", "http://127.0.0.1:9001/mcp"), (":9001", "http://127.0.0.1:9001/mcp")] {
            assert_eq!(shadow_place(text), Ok(ShadowPlace::Url(url.to_owned())), "{text}");
        }
        assert!(matches!(shadow_place("python x.py:3"), Ok(ShadowPlace::Command(_))));
        assert_eq!(shadow_place(" "), Err(PlaceError::Empty));
    }

    #[test]
    fn age_has_a_unit() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("30"), Err("`30` of what? write it like `12h` or `30d`".to_owned()));
        assert!(time_above_zero("0").is_err() && time_above_zero("0s").is_err());
    }
}
