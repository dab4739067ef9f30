//! Serving HTTP on a listener until it is told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::descriptors;
use super::linger::Lingering;
use crate::net::workers::Workers;

/// How long the first request on a connection may take to arrive, its headers included.
const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// What a connection reads at once, at most, and with that what the head of a request may have. hyper would take six times as much for a
/// body of a megabyte, and keep it for as long as the answer takes: hundreds of calls that wait are then tens of megabytes more.
const READ: usize = 64 << 10;

/// Serves `router` until `stop`, on this runtime: no new connection is accepted then, and responses that have begun are finished.
pub async fn serve(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some((stream, _)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        prepare(&stream);
        let (router, stop) = (TowerToHyperService::new(router.clone()), stop.clone());
        connections.spawn(async move { serve_connection(stream, |request| router.call(request), &stop).await });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Serves connections until `stop`, each on one of the workers for as long as it lasts: whatever `answer` spawns is on that one, too.
pub async fn serve_on<A, F>(workers: &Workers, mut listener: TcpListener, answer: A, stop: &CancellationToken)
where
    A: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let connections = TaskTracker::new();
    while let Some((stream, address)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        prepare(&stream);
        // It leaves the reactor of this runtime, and comes to the worker's.
        let Ok(stream) = stream.into_std() else { continue };
        let (answer, stop, open) = (answer.clone(), stop.clone(), connections.token());
        workers.next().spawn(async move {
            let _open = open;
            match TcpStream::from_std(stream) {
                Ok(stream) => serve_connection(stream, |request| answer(address, request).map(Ok), &stop).await,
                Err(error) => tracing::debug!(%error, "a connection came to no worker"),
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve_connection<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F, stop: &CancellationToken)
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let has_asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        has_asked.store(true, Ordering::Relaxed);
        // Boxed: it is moved several times before it runs, and is large. Written where it stays, as of nine kilobytes only the request
        // in it is there yet: `Box::pin` would copy all of them.
        Box::into_pin(Box::write(Box::new_uninit(), answer(request)))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(READ);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(Lingering::new(stream)), service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = asks_nothing(&has_asked) => return,
    };
    // A client that hangs up in the middle of something is no error.
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection broke");
    }
}

/// Ends when nothing was asked on a new connection for as long as it may take. Only the first request has a limit: one for each would be
/// a timer for each, and would close connections that are kept for later.
async fn asks_nothing(has_asked: &AtomicBool) {
    let mut limit = std::pin::pin!(tokio::time::sleep(FIRST_REQUEST));
    std::future::poll_fn(
        |context| {
            if has_asked.load(Ordering::Relaxed) { Poll::Pending } else { limit.as_mut().poll(context) }
        },
    )
    .await;
}

/// Counts a connection among the open files; a small message on it does not wait for the acknowledgement of the one before.
fn prepare(stream: &TcpStream) {
    descriptors::note(stream);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn first_request_has_a_limit_and_no_other() {
        let has_asked = AtomicBool::new(false);
        asks_nothing(&has_asked).await;
        let mut waiting = std::pin::pin!(asks_nothing(&has_asked));
        assert!(waiting.as_mut().now_or_never().is_none(), "it has time");
        has_asked.store(true, Ordering::Relaxed);
        tokio::time::sleep(FIRST_REQUEST * 2).await;
        assert!(waiting.now_or_never().is_none(), "it has asked something");
    }
}
