//! The children of a command, as the table has to do with them: heard, started anew, and ended.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use crate::envelope::SessionId;
use crate::event::{Level, LogLine};
use crate::proxy::exchange::{Connection, Link};
use crate::proxy::session::LiveSession;
use crate::proxy::sessions::Table;
use crate::proxy::sessions::policy::Fate;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::pump::Pump;
use crate::proxy::stream::restart::{RestartAttempts, RestartCause, keep};
use crate::proxy::stream::{StreamServer, Tenancy};
use crate::upstream::UpstreamError;
use crate::upstream::pipe::Output;
use crate::upstream::pool::Pool;
use crate::upstream::target::Target;
use crate::upstream::watch::{WatchError, Watched};

impl Table {
    /// Keeps spares of a command, and starts it anew where what is watched changes; until tapline stops.
    ///
    /// # Errors
    /// Where something cannot be watched.
    pub fn tend(self: &Arc<Self>) -> Result<(), WatchError> {
        let Target::Command(pool) = &self.target else { return Ok(()) };
        let stop = self.proxy.stop().listening.clone();
        let watch = &pool.settings().watch;
        if !watch.is_empty() {
            let watching = restart_on_change(Arc::downgrade(self), Watched::new(watch)?);
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(watching).await });
        }
        let (pool, proxy) = (pool.clone(), self.proxy.clone());
        let tell = move |text| proxy.log(LogLine::new(Level::Warn, "proxy", text));
        tokio::spawn(async move { pool.keep_warm(stop, tell).await });
        Ok(())
    }

    /// Carries what the servers of a session say; their end is the session's.
    pub(in crate::proxy) fn hear(
        self: Arc<Self>,
        connection: &Connection,
        link: &Arc<StreamServer>,
        outputs: mpsc::Receiver<Output>,
    ) -> impl Future<Output = ()> + use<> {
        let (pump, session) = (Pump::new(link), connection.session.clone());
        async move {
            let error = keep(pump, outputs).await;
            self.server_is_gone(&session, &error);
        }
    }

    /// Waits for a child, then is as [`Table::hear`].
    pub(in crate::proxy) async fn wait(
        self: Arc<Self>,
        session: Arc<LiveSession>,
        link: Weak<StreamServer>,
        pool: Arc<Pool>,
    ) {
        let Some(acquired) = session.closed().run_until_cancelled(pool.acquire()).await else { return };
        let error = match (acquired, link.upgrade()) {
            (Ok(child), Some(link)) => {
                link.install(child.pipe);
                let pump = Pump::new(&link);
                drop(link);
                keep(pump, child.outputs).await
            }
            (Ok(child), None) => return pool.give_back(child),
            (Err(error), link) => {
                if let Some(link) = link {
                    link.end(&error);
                }
                error
            }
        };
        self.server_is_gone(&session, &error);
    }

    fn server_is_gone(&self, session: &Arc<LiveSession>, error: &UpstreamError) {
        // One that was set aside may be back by now, with another child.
        let is_it = self.find(session.id()).is_some_and(|connection| Arc::ptr_eq(&connection.session, session));
        if is_it {
            self.forget(session.id(), &format!("its server is gone: {error}"), Fate::Over);
        }
    }

    /// Goes on with a session, which another tapline or an earlier one had, on a child of its own. The session has been told of;
    /// who asks for this sees to it that the client's next request finds it.
    ///
    /// # Errors
    /// Where no child goes on with it.
    pub async fn revive(
        self: &Arc<Self>,
        session: Arc<LiveSession>,
        recollection: HandshakeState,
    ) -> Result<Arc<Connection>, UpstreamError> {
        let Target::Command(pool) = &self.target else {
            let why = "its server is no command".to_owned();
            return Err(UpstreamError::NotResumed { command: self.target.label(), why });
        };
        let link = StreamServer::for_command(
            self.proxy.clone(),
            Tenancy::Dedicated(session.clone()),
            pool.clone(),
            recollection,
        );
        let connection = Connection::new(self.proxy.clone(), session, Link::Pipe(link.clone()), None);
        let outputs = match restart_after_tapline(&link).await {
            Ok(outputs) => outputs,
            Err(error) => {
                link.end(&error);
                return Err(error);
            }
        };
        self.take_in(&connection);
        tokio::spawn(self.clone().hear(&connection, &link, outputs));
        Ok(connection)
    }

    /// Has another process of the server take the place of the one that a session has.
    pub fn restart(&self, id: SessionId, why: &str) {
        let told = match self.find(id).as_deref().map(|connection| &connection.link) {
            None => Err("its session has ended"),
            Some(Link::Exchanges(_)) => Err("its server is no command of this tapline"),
            Some(Link::Pipe(link)) => link.request_restart(why),
            Some(Link::Shared(shared)) => {
                shared.renew();
                Ok(())
            }
        };
        if let Err(why) = told {
            self.proxy.log(LogLine::new(Level::Warn, "proxy", format!("the server is not started anew: {why}")).of(id));
        }
    }

    /// Has other processes take the place of all that run, and of those that wait.
    pub fn restart_all(&self, why: &str) {
        let Target::Command(pool) = &self.target else { return };
        pool.renew();
        if let Some(shared) = &self.shared {
            shared.renew();
        }
        for connection in self.live() {
            if let Link::Pipe(link) = &connection.link {
                // One that is being started already is new enough.
                let _ = link.request_restart(why);
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

/// The first child of a session under this tapline.
async fn restart_after_tapline(link: &Arc<StreamServer>) -> Result<mpsc::Receiver<Output>, UpstreamError> {
    let lost = UpstreamError::NotResumed { command: link.label().to_owned(), why: "tapline has ended".to_owned() };
    let cause = RestartCause::Asked("a restart of tapline".to_owned());
    Pump::new(link).follow(link, cause, lost, &mut RestartAttempts::default()).await
}

async fn restart_on_change(table: Weak<Table>, mut watched: Watched) {
    while let Some(path) = watched.next().await {
        let Some(table) = table.upgrade() else { return };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        table.proxy.log(LogLine::new(
            Level::Info,
            "proxy",
            format!("`{name}` has changed: the server is started anew"),
        ));
        table.restart_all(&format!("a change of `{name}`"));
    }
}
