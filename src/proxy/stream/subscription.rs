//! One subscription that is open on several children, and heard as one (revision 2026-07-28, `subscriptions/listen`).
//!
//! Of the acknowledgements the client gets the first, of the endings the last, and of what comes between everything, in its own
//! names. What it does not get is shown in the names that the child knows. Which children there are is not known here.

use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc::WeakUnboundedSender;

use crate::envelope::{Direction, Transport};
use crate::event::{Level, LogLine};
use crate::message::{Id, Message};
use crate::proxy::Audience;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::pending::{PendingRequest, Recipient, Router};
use crate::proxy::stream::{Items, StreamServer};
use crate::upstream::framing::one_line;
use crate::upstream::pipe::Pipe;
use crate::upstream::{Item, UpstreamError};

/// The client's side of such a subscription.
pub(in crate::proxy) struct FanoutSubscription {
    session: Arc<LiveSession>,
    /// As the client sent it.
    request: Message,
    audience: Audience,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Children where it is open.
    legs: usize,
    /// Its stream is kept open by its legs alone.
    items: Option<WeakUnboundedSender<Result<Item, UpstreamError>>>,
    /// What was acknowledged first.
    accepted: Option<Value>,
}

/// The subscription as one child has it.
pub(in crate::proxy) struct SubscriptionLeg {
    subscription: Arc<FanoutSubscription>,
    /// What the child calls it.
    id: Id,
    open: bool,
}

/// For whom something is that a child says of a subscription.
pub(in crate::proxy) enum LegAudience {
    Client,
    /// The screen: the client has heard as much already, or has yet to hear more.
    Aside,
    /// As [`LegAudience::Aside`], and it is not what another child said.
    Differs,
}

impl FanoutSubscription {
    pub(in crate::proxy) fn new(session: Arc<LiveSession>, request: Message, audience: Audience) -> Arc<Self> {
        Arc::new(Self { session, request, audience, state: Mutex::default() })
    }

    /// Whether a client means this one by an id.
    pub(in crate::proxy) fn is(&self, session: &LiveSession, id: &Id) -> bool {
        self.session.id() == session.id() && self.request.id() == Some(id)
    }

    /// Who waits for it on the first child. That one knows it by another name as well: a last word that is not for the client must
    /// not be taken for the reply to its request.
    pub(in crate::proxy) fn opened(self: &Arc<Self>, items: &Items) -> Option<PendingRequest> {
        let waiting = self.waiting(items.clone())?;
        let mut state = self.state.lock();
        (state.legs, state.items) = (1, Some(items.downgrade()));
        Some(PendingRequest { own_id: self.request.id().cloned(), ..waiting })
    }

    /// Who waits for it on another; `None`: it is over.
    fn joined(self: &Arc<Self>) -> Option<PendingRequest> {
        let mut state = self.state.lock();
        let items = state.items.as_ref().filter(|_| state.legs > 0)?.upgrade()?;
        let waiting = self.waiting(items)?;
        state.legs += 1;
        Some(waiting)
    }

    fn waiting(self: &Arc<Self>, items: Items) -> Option<PendingRequest> {
        let id = Id::random();
        let request = self.request.with_id(&id)?;
        let leg = Some(SubscriptionLeg { subscription: self.clone(), id, open: true });
        Some(PendingRequest {
            audience: self.audience,
            leg,
            ..PendingRequest::new(self.session.clone(), request, Some(items))
        })
    }

    fn acknowledged(&self, message: &Message) -> LegAudience {
        let params: Option<Value> = message.member("params").and_then(|params| serde_json::from_str(params).ok());
        let accepted = params.and_then(|mut params| Some(params.get_mut("notifications")?.take())).unwrap_or_default();
        let mut state = self.state.lock();
        match &state.accepted {
            None => {
                state.accepted = Some(accepted);
                LegAudience::Client
            }
            Some(first) if *first == accepted => LegAudience::Aside,
            Some(_) => LegAudience::Differs,
        }
    }
}

impl SubscriptionLeg {
    /// What its client calls it.
    pub(in crate::proxy) fn client_id(&self) -> Option<&Id> {
        self.subscription.request.id()
    }

    pub(in crate::proxy) fn hear(&mut self, address: &Recipient, message: &Message) -> LegAudience {
        match address {
            Recipient::Requester(_) | Recipient::Unsubscribed(_) if self.end() => LegAudience::Client,
            Recipient::Requester(_) | Recipient::Unsubscribed(_) => LegAudience::Aside,
            _ if message.method() == Some("notifications/subscriptions/acknowledged") => {
                self.subscription.acknowledged(message)
            }
            _ => LegAudience::Client,
        }
    }

    /// It is not open any more. Gives whether that is the end of the subscription.
    pub(in crate::proxy) fn end(&mut self) -> bool {
        if !std::mem::take(&mut self.open) {
            return true;
        }
        // No reply comes to a request of ours that the client's takes, or nobody.
        self.subscription.session.release_call(&self.id);
        let mut state = self.subscription.state.lock();
        state.legs -= 1;
        state.legs == 0
    }
}

impl Drop for SubscriptionLeg {
    fn drop(&mut self) {
        self.end();
    }
}

impl Router {
    /// Notes that a subscription is open here as well; gives the request as it is shown, and as the child is to know it.
    fn join(&mut self, subscription: &Arc<FanoutSubscription>) -> Option<(Message, Message)> {
        let waiting = subscription.joined()?;
        Some((waiting.request.clone(), self.expect_reply(waiting)))
    }
}

impl StreamServer {
    /// Opens a client's subscription here as well: where the child is there already, before anything else is asked of it.
    pub(in crate::proxy) fn join(self: &Arc<Self>, subscription: &Arc<FanoutSubscription>) {
        let (link, subscription) = (self.clone(), subscription.clone());
        let mut joining = async move { link.open_leg(&subscription).await }.boxed();
        if (&mut joining).now_or_never().is_none() {
            tokio::spawn(joining);
        }
    }

    async fn open_leg(&self, subscription: &Arc<FanoutSubscription>) {
        // Where no child comes, the others go on.
        let Ok((pipe, Some((shown, request)))) = self.server(|router| router.join(subscription)).await else { return };
        self.proxy.originate(&subscription.session, Direction::ToServer, Transport::new(self.carrier), shown);
        if let Pipe::Child(child) = &*pipe
            && !child.write(one_line(&request)).await
        {
            self.forget(&request);
        }
    }

    /// Nobody waits for a subscription any more.
    pub(in crate::proxy) fn part(&self, subscription: &Arc<FanoutSubscription>) {
        let is_leg = |waiting: &PendingRequest| {
            waiting.leg.as_ref().is_some_and(|leg| Arc::ptr_eq(&leg.subscription, subscription))
        };
        self.cancel_all(is_leg);
    }

    /// Lets a child go that nobody asks anything while others are there, which go on with what is subscribed to.
    pub(in crate::proxy) fn dismiss(&self) {
        let waiting = {
            let mut router = self.router.lock();
            // Nobody misses it: nobody is told.
            router.spoke_last = None;
            std::mem::take(&mut router.pending)
        };
        drop(waiting);
        self.retire();
    }

    pub(in crate::proxy) fn tell_difference(&self, session: &LiveSession) {
        let text = "a child accepts another part of a subscription than the first one: the client is told what the first accepts";
        self.proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session.id()));
    }
}
