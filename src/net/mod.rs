//! What all talk over sockets and pipes has in common: HTTP clients, serving, reading, queues, pauses between attempts, open files.
//!
//! A leaf: it knows nothing of MCP and nothing of tapline.

pub mod backlog;
pub mod backoff;
pub mod client;
pub mod descriptors;
mod linger;
pub mod read;
pub mod serve;
pub mod workers;

/// Returns the text of the innermost cause of `error`: the outer ones of an HTTP client repeat the URL.
pub fn innermost_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failed {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn innermost_cause_is_the_last_in_the_chain() {
        let inner = Failed { text: "connection refused", source: None };
        assert_eq!(innermost_cause(&inner), "connection refused");
        let outer = Failed { text: "cannot send to http://x", source: Some(Box::new(inner)) };
        assert_eq!(innermost_cause(&outer), "connection refused");
    }
}
