//! What can be seen of a server with one stream while a call of it has no reply: its processes, what they have not read, and what its
//! client has not.

use crate::envelope::{Seq, SessionId};
use crate::event::{CallStanding, ChildStanding, ProcessStanding, ProcessState};
use crate::net::backlog::Backlog;
use crate::proxy::stream::pending::PendingRequest;
use crate::proxy::stream::server::{Pipe, StreamServer};
use crate::upstream::processes::{GroupProcess, of_group, unread_stdin};
use crate::upstream::stdio::ChildPipe;

impl StreamServer {
    /// What there is to see of a call of a session on it.
    pub(in crate::proxy) async fn standing(&self, session: SessionId, call: Seq) -> CallStanding {
        let (pipe, unread_by_client) = {
            let state = self.state.lock();
            let own = state.requests.iter().filter(|pending| pending.session().id() == session);
            let responses: usize = own.filter_map(PendingRequest::response).map(Backlog::bytes).sum();
            let stream = state.client.stream().map_or(0, |stream| stream.items.bytes());
            (state.server.pipe().cloned(), responses + stream)
        };
        let child = match pipe.as_deref() {
            Some(Pipe::Child(child)) => Some(child_standing(child).await),
            Some(Pipe::Events(_)) | None => None,
        };
        CallStanding { session, call, child, stream: None, unread_by_client: unread_by_client as u64 }
    }

    /// Whether a request of the session waits here for its reply.
    pub(in crate::proxy) fn has_request_of(&self, session: SessionId) -> bool {
        self.state.lock().requests.iter().any(|pending| pending.session().id() == session)
    }
}

async fn child_standing(child: &ChildPipe) -> ChildStanding {
    let processes = match child.group() {
        Some(group) => of_group(group).await,
        None => Vec::new(),
    };
    ChildStanding {
        unwritten: child.unwritten() as u64,
        unread: child.group().and_then(unread_stdin),
        is_deaf: child.is_deaf(),
        processes: processes.into_iter().map(process_standing).collect(),
    }
}

fn process_standing(process: GroupProcess) -> ProcessStanding {
    let state = match process.state {
        'R' => ProcessState::Running,
        'D' => ProcessState::Blocked,
        'T' | 't' => ProcessState::Stopped,
        'Z' | 'X' => ProcessState::Ended,
        _ => ProcessState::Sleeping,
    };
    ProcessStanding { id: process.id, name: process.name, state, load: process.load }
}
