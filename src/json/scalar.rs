//! What one JSON token that is no container says, however it is spelled.

use std::borrow::Cow;

/// The text of a JSON string token; `None` for any other token, and for a string that is no Unicode text (half of a
/// surrogate pair).
pub(crate) fn string(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(token).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// The value of a JSON number token, as near as a float comes to it; `None` for any other token.
pub(crate) fn number(token: &str) -> Option<f64> {
    // A token that begins so can be nothing else; `parse` alone would take `nan` and `inf`.
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| token.parse().ok())?
}

/// Whether two numbers are equal beyond doubt: above 2^53, floats no longer tell neighbours apart.
pub(crate) fn is_same_number(left: f64, right: f64) -> bool {
    left == right && left.abs() < 9_007_199_254_740_992.0
}
