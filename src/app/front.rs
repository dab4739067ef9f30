//! The doors that clients come in by: where they listen, and the rules that are the same at each.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::net::serve::serve_on;
use crate::net::workers::Workers;
use crate::proxy::front::access::Admission;
use crate::proxy::front::http::HttpFront;
use crate::proxy::front::origin_check::OriginCheck;
use crate::proxy::front::routes::Mounts;

/// The rules of every door.
pub(super) struct FrontRules {
    admission: Arc<Admission>,
    /// Names of ours, and whose pages may ask.
    hosts: Vec<String>,
    origins: Vec<String>,
    /// The largest body of a request, in bytes.
    max_body: usize,
    /// Time between two comments on an open stream of which something is held.
    keep_alive: Option<Duration>,
    /// What runs on connections of clients: the same for all doors, as what one of them keeps for itself (a connection to a server) may
    /// be asked for by another.
    workers: OnceLock<Workers>,
}

/// Why clients cannot come in.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    #[error("cannot listen on {address}: {why}; `--listen` takes another address, port 0 a free one")]
    CannotListen { address: SocketAddr, why: std::io::Error },
    #[error("`--allow-host` and `--allow-origin`: {0}")]
    Names(String),
}

/// Where clients come in.
pub(super) struct FrontDoor {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    origin_check: OriginCheck,
}

impl FrontRules {
    /// As the settings of a core have them.
    pub(super) fn new(
        admission: Admission,
        (hosts, origins): (Vec<String>, Vec<String>),
        max_body: usize,
        keep_alive: Option<Duration>,
    ) -> Arc<Self> {
        let (admission, workers) = (Arc::new(admission), OnceLock::new());
        Arc::new(Self { admission, hosts, origins, max_body, keep_alive, workers })
    }

    /// Listens at the core's own address, where it has one.
    pub(super) async fn listen_where(&self, address: Option<SocketAddr>) -> Result<Option<FrontDoor>, FrontError> {
        match address {
            Some(address) => self.listen(address).await.map(Some),
            None => Ok(None),
        }
    }

    /// Listens for clients that know us by names of ours or one of `hosts`, pages of `origins` among them.
    pub(super) async fn listen(&self, address: SocketAddr) -> Result<FrontDoor, FrontError> {
        let cannot_listen = |why| FrontError::CannotListen { address, why };
        let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let origin_check = OriginCheck::new(address).allowing(&self.hosts, &self.origins).map_err(FrontError::Names)?;
        if self.workers.get().is_none() {
            // Another door may have been faster.
            let _ = self.workers.set(Workers::start().map_err(cannot_listen)?);
        }
        Ok(FrontDoor { listener, address, origin_check })
    }

    /// Lets clients in until `stop`.
    pub(super) fn open(
        self: &Arc<Self>,
        mounts: Arc<Mounts>,
        door: FrontDoor,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let FrontDoor { listener, origin_check, .. } = door;
        let (admission, rules) = (self.admission.clone(), self.clone());
        let front = Arc::new(HttpFront::new(mounts, origin_check, admission, self.max_body, self.keep_alive));
        let answer = move |client, request: Request<Incoming>| front.clone().handle(client, request.map(Body::new));
        tokio::spawn(async move {
            let workers = rules.workers.get().expect("who listens has started them");
            serve_on(workers, listener, answer, &stop).await;
        })
    }
}
