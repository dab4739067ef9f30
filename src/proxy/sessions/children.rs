//! The children of a command, as the table has to do with them: relayed, restarted, and ended.
//!
//! A command gets one child per session, so ids are never rewritten; only clients of revision 2026-07-28, which has no
//! sessions, share one, and there an id or progress token that is taken gets another name on the way to the child. The
//! era is decided per message: a client's modern and legacy messages are two sessions, since servers built with the
//! SDKs pin the era of a pipe.

use std::sync::{Arc, Weak};

use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::envelope::SessionId;
use crate::event::{CLIENT_LEFT, Level, LogLine, SERVER_GONE};
use crate::message::Message;
use crate::proxy::exchange::{Connection, ServerLink};
use crate::proxy::session::LiveSession;
use crate::proxy::session::policy::EndKind;
use crate::proxy::sessions::SessionTable;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::restart::{Supervisor, resume_session};
use crate::proxy::stream::rewind::SessionRewind;
use crate::proxy::stream::{StreamServer, Tenancy};
use crate::upstream::UpstreamError;
use crate::upstream::output::Output;
use crate::upstream::pool::Pool;
use crate::upstream::target::Target;
use crate::upstream::watch::{WatchError, Watched};

/// Why there is no child to stop, and no server to speak for.
const NO_COMMAND: &str = "its server is not a command of this tapline";

impl SessionTable {
    /// Keeps spares of a command ready, and restarts it where what is watched changes; until tapline stops.
    ///
    /// # Errors
    /// Where a file that is to be watched cannot be.
    pub fn supervise_children(self: &Arc<Self>) -> Result<(), WatchError> {
        let Target::Command(pool) = &self.target else { return Ok(()) };
        let stop = self.proxy.stop().listening.clone();
        let watch = &pool.settings().watch;
        if !watch.is_empty() {
            let watching = restart_on_change(Arc::downgrade(self), Watched::new(watch)?);
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(watching).await });
        }
        let (pool, proxy) = (pool.clone(), self.proxy.clone());
        let log = move |text| proxy.log(LogLine::new(Level::Warn, "proxy", text));
        tokio::spawn(async move { pool.keep_warm(stop, log).await });
        Ok(())
    }

    /// Carries what the child of a session says, and what those say that are started in its place; the end of the last is that of
    /// the session.
    pub(in crate::proxy) fn relay_output(
        self: Arc<Self>,
        connection: &Connection,
        link: &Arc<StreamServer>,
        outputs: mpsc::Receiver<Output>,
    ) -> impl Future<Output = ()> + use<> {
        let (supervisor, session) = (Supervisor::new(link), connection.session.clone());
        async move {
            let error = supervisor.run(outputs).await;
            self.on_server_gone(&session, &error);
        }
    }

    /// Waits for a child of the pool, and carries what it says; its end is that of the session.
    pub(in crate::proxy) async fn relay_next_child(
        self: Arc<Self>,
        session: Arc<LiveSession>,
        link: Weak<StreamServer>,
        pool: Arc<Pool>,
    ) {
        let Some(acquired) = session.closed().run_until_cancelled(pool.acquire()).await else { return };
        let error = match (acquired, link.upgrade()) {
            (Ok(child), Some(link)) => {
                link.install(child.pipe);
                let supervisor = Supervisor::new(&link);
                drop(link);
                supervisor.run(child.outputs).await
            }
            (Ok(child), None) => return pool.give_back(child),
            (Err(error), link) => {
                if let Some(link) = link {
                    link.end(&error);
                }
                error
            }
        };
        self.on_server_gone(&session, &error);
    }

    fn on_server_gone(&self, session: &Arc<LiveSession>, error: &UpstreamError) {
        // One that was suspended may be back by now, with another child.
        let Some(connection) = self.find(session.id()).filter(|it| Arc::ptr_eq(&it.session, session)) else { return };
        let why = if connection.has_let_server_go() { CLIENT_LEFT } else { SERVER_GONE };
        self.remove(session.id(), &format!("{why}: {error}"), EndKind::Closed);
    }

    /// Restores a session, which another tapline or an earlier one had, on a child of its own. That the session is open must have
    /// been published before; the caller binds the key by which the client's next request finds it.
    ///
    /// # Errors
    /// [`UpstreamError::NotResumed`] where no child can go on with it.
    pub async fn restore_on_child(
        self: &Arc<Self>,
        session: Arc<LiveSession>,
        handshake: HandshakeState,
    ) -> Result<Arc<Connection>, UpstreamError> {
        let Target::Command(pool) = &self.target else {
            let why = "its server is not a command".to_owned();
            return Err(UpstreamError::NotResumed { command: self.target.label(), why });
        };
        let link =
            StreamServer::for_command(self.proxy.clone(), Tenancy::Dedicated(session.clone()), pool.clone(), handshake);
        let connection = Connection::new(self.proxy.clone(), session, ServerLink::Stream(link.clone()), None);
        let outputs = match resume_session(&link).await {
            Ok(outputs) => outputs,
            Err(error) => {
                link.end(&error);
                return Err(error);
            }
        };
        self.insert(&connection);
        tokio::spawn(self.clone().relay_output(&connection, &link, outputs));
        Ok(connection)
    }

    /// Restarts the server of a session. Where that cannot be, a line of the log says why.
    pub fn restart(&self, id: SessionId, why: &str) {
        let told = match self.find(id).as_deref().map(|connection| &connection.link) {
            None => Err("its session has ended"),
            Some(ServerLink::Exchanges(_)) => Err(NO_COMMAND),
            Some(ServerLink::Stream(link)) => link.request_restart(why, None),
            Some(ServerLink::Shared(shared)) => {
                shared.renew();
                Ok(())
            }
        };
        if let Err(why) = told {
            self.proxy.log(LogLine::new(Level::Warn, "proxy", format!("the server is not restarted: {why}")).of(id));
        }
    }

    /// Takes a session back behind its client: a fresh process of its server is told what was said until then.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub fn rewind(&self, id: SessionId, rewind: SessionRewind) -> Result<(), &'static str> {
        match self.find(id).as_deref().map(|connection| &connection.link) {
            None => Err("its session has ended"),
            Some(ServerLink::Exchanges(_)) => Err(NO_COMMAND),
            Some(ServerLink::Stream(link)) => {
                let why = format!("a rewind to {}", rewind.to);
                link.request_restart(&why, Some(rewind))
            }
            Some(ServerLink::Shared(_)) => {
                Err("its process is that of all clients of revision 2026-07-28, which has no sessions")
            }
        }
    }

    /// Sends a signal to the server of a session.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub fn signal(&self, id: SessionId, signal: Signal) -> Result<(), &'static str> {
        match self.find(id).as_deref().map(|connection| &connection.link) {
            None => Err("its session has ended"),
            Some(ServerLink::Exchanges(_)) => Err(NO_COMMAND),
            Some(ServerLink::Stream(link)) => link.signal_child(signal),
            Some(ServerLink::Shared(_)) => Err("other sessions use it, too"),
        }
    }

    /// Tells the client of a session something in the name of its server.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub fn speak(&self, id: SessionId, message: Message) -> Result<(), &'static str> {
        match self.find(id).as_deref().map(|connection| &connection.link) {
            None => Err("its session has ended"),
            Some(ServerLink::Stream(link)) => link.speak(message),
            Some(ServerLink::Shared(_)) => Err("its client has no session in which it could be told"),
            Some(ServerLink::Exchanges(_)) => Err(NO_COMMAND),
        }
    }

    /// Restarts all servers: those of sessions, those that sessions share, and the spares.
    pub fn restart_all(&self, why: &str) {
        let Target::Command(pool) = &self.target else { return };
        pool.renew();
        if let Some(shared) = &self.shared {
            shared.renew();
        }
        for connection in self.live() {
            if let ServerLink::Stream(link) = &connection.link {
                // One that is being started already is new enough.
                let _ = link.request_restart(why, None);
            }
        }
    }

    /// Ends the children that belong to no session.
    pub async fn close_spares(&self) {
        if let (Target::Command(pool), Some(shared)) = (&self.target, &self.shared) {
            tokio::join!(pool.close(), shared.close());
        }
    }
}

async fn restart_on_change(table: Weak<SessionTable>, mut watched: Watched) {
    while let Some(path) = watched.next().await {
        let Some(table) = table.upgrade() else { return };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        table.proxy.log(LogLine::new(Level::Info, "proxy", format!("`{name}` has changed: server restarted")));
        table.restart_all(&format!("a change of `{name}`"));
    }
}
