//! How the demo server behaves.

use std::time::Duration;

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerOptions {
    /// Pause before each message of a stream; zero for tests.
    pub pace: Duration,
    pub scenario: Scenario,
}

/// Which version of the server this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scenario {
    #[default]
    Original,
    /// `get_forecast` answers something else: what a replay is there to notice.
    Changed,
}
