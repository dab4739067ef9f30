//! Opening a client's subscription on the children that clients share, and ending it there.

use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::envelope::{Direction, Transport};
use crate::message::Message;
use crate::proxy::stream::pending::{PendingRequest, PendingRequests};
use crate::proxy::stream::server::{Pipe, StreamServer};
use crate::proxy::stream::subscription::{FanoutSubscription, NewLeg};
use crate::upstream::output::one_line;

impl StreamServer {
    /// Opens a client's subscription here as well: where the child is there already, before anything else is asked of it.
    pub(super) fn join(self: &Arc<Self>, subscription: &Arc<FanoutSubscription>) {
        let (server, subscription) = (self.clone(), subscription.clone());
        let mut joining = async move { server.open_leg(&subscription).await }.boxed();
        if (&mut joining).now_or_never().is_none() {
            tokio::spawn(joining);
        }
    }

    async fn open_leg(&self, subscription: &Arc<FanoutSubscription>) {
        let registered = self.when_up(|state| register_leg(&mut state.requests, subscription)).await;
        // Where no child comes, the others go on.
        let Ok((pipe, Some((shown, request)))) = registered else { return };
        self.proxy.originate(subscription.session(), Direction::ToServer, Transport::new(self.carrier), shown);
        if let Pipe::Child(child) = &*pipe
            && child.write(one_line(&request)).await.is_err()
        {
            self.withdraw(&request);
        }
    }

    /// Ends a subscription on this child: its client has left.
    pub(super) fn unsubscribe(&self, subscription: &Arc<FanoutSubscription>) {
        self.cancel_where(|pending| pending.leg().is_some_and(|leg| leg.belongs_to(subscription)));
    }

    /// Lets an idle child go while others are there, which go on with what is subscribed to.
    pub(super) fn dismiss(&self) {
        let requests = {
            let mut state = self.state.lock();
            // No client misses it: none is told.
            state.last_session = None;
            state.requests.take_all()
        };
        drop(requests);
        self.retire();
    }
}

/// Registers that a subscription is open on one more child; returns the request as it is shown, and as the child is to know it.
fn register_leg(requests: &mut PendingRequests, subscription: &Arc<FanoutSubscription>) -> Option<(Message, Message)> {
    let NewLeg { leg, request, items } = subscription.join()?;
    let pending = PendingRequest::of_leg(leg, request.clone(), items, None);
    Some((request, requests.register(pending)))
}
