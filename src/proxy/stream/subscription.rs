//! One subscription that is open on several children, and heard as one (revision 2026-07-28, `subscriptions/listen`).
//!
//! The client gets the first acknowledgement, the last ending, and everything that comes between them, in its own names. What it does
//! not get is shown in the names that the child knows. Which children there are is not known here.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::mcp::meta;
use crate::mcp::method;
use crate::message::{Id, Message};
use crate::net::backlog::WeakBacklog;
use crate::proxy::Audience;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::Items;
use crate::upstream::{Item, UpstreamError};

/// The client's side of a subscription that is open on several children.
pub(super) struct FanoutSubscription {
    session: Arc<LiveSession>,
    /// The request as the client sent it.
    request: Message,
    audience: Audience,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Children where it is open.
    legs: usize,
    /// The client's stream, which only the legs keep open.
    items: Option<WeakBacklog<Result<Item, UpstreamError>>>,
    /// What was acknowledged first.
    accepted: Option<Value>,
}

/// A subscription as one child has it.
pub(super) struct SubscriptionLeg {
    subscription: Arc<FanoutSubscription>,
    /// What the child calls it.
    id: Id,
    open: bool,
}

/// A leg that is to be registered with its child.
pub(super) struct NewLeg {
    pub(super) leg: SubscriptionLeg,
    /// What opens it, in the names of the child.
    pub(super) request: Message,
    pub(super) items: Items,
}

/// For whom something is that a child says of a subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LegAudience {
    Client,
    /// The screen: the client has heard as much already, or has yet to hear more.
    Screen,
    /// The screen, and it is not what another child said.
    ScreenAsItDiffers,
}

impl FanoutSubscription {
    pub(super) fn new(session: Arc<LiveSession>, request: Message, audience: Audience) -> Arc<Self> {
        Arc::new(Self { session, request, audience, state: Mutex::default() })
    }

    pub(super) fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }

    /// What its client calls it.
    pub(super) fn client_id(&self) -> Option<&Id> {
        self.request.id()
    }

    /// Whether a client means this one by an id.
    pub(super) fn is(&self, session: &LiveSession, id: &Id) -> bool {
        self.session.id() == session.id() && self.client_id().is_some_and(|own| id.may_mean(own))
    }

    /// Opens it on the first child. That one knows it by another name as well: a last word that is not for the client must not be taken
    /// for the reply to its request.
    pub(super) fn open(self: &Arc<Self>, items: &Items) -> Option<NewLeg> {
        let leg = self.leg(items.clone())?;
        let mut state = self.state.lock();
        (state.legs, state.items) = (1, Some(items.downgrade()));
        Some(leg)
    }

    /// Opens it on another child; `None`: it is over.
    pub(super) fn join(self: &Arc<Self>) -> Option<NewLeg> {
        let mut state = self.state.lock();
        let items = state.items.as_ref().filter(|_| state.legs > 0)?.upgrade()?;
        let leg = self.leg(items)?;
        state.legs += 1;
        Some(leg)
    }

    fn leg(self: &Arc<Self>, items: Items) -> Option<NewLeg> {
        let id = Id::random();
        let request = self.request.with_id(&id)?;
        Some(NewLeg { leg: SubscriptionLeg { subscription: self.clone(), id, open: true }, request, items })
    }

    fn on_acknowledgement(&self, message: &Message) -> LegAudience {
        let accepted: Value = meta::read(message, &["params", "notifications"]).unwrap_or_default();
        let mut state = self.state.lock();
        match &state.accepted {
            None => {
                state.accepted = Some(accepted);
                LegAudience::Client
            }
            Some(first) if *first == accepted => LegAudience::Screen,
            Some(_) => LegAudience::ScreenAsItDiffers,
        }
    }
}

impl SubscriptionLeg {
    pub(super) fn session(&self) -> &Arc<LiveSession> {
        &self.subscription.session
    }

    pub(super) fn audience(&self) -> Audience {
        self.subscription.audience
    }

    /// What its client calls it.
    pub(super) fn client_id(&self) -> Option<&Id> {
        self.subscription.client_id()
    }

    pub(super) fn belongs_to(&self, subscription: &Arc<FanoutSubscription>) -> bool {
        Arc::ptr_eq(&self.subscription, subscription)
    }

    /// The child says something of it, and goes on.
    pub(super) fn on_message(&self, message: &Message) -> LegAudience {
        match message.method() {
            Some(method::SUBSCRIPTIONS_ACKNOWLEDGED) => self.subscription.on_acknowledgement(message),
            _ => LegAudience::Client,
        }
    }

    /// The child says its last word of it.
    pub(super) fn on_end(&mut self) -> LegAudience {
        if self.end() { LegAudience::Client } else { LegAudience::Screen }
    }

    /// Closes it. Returns whether that is the end of the subscription.
    pub(super) fn end(&mut self) -> bool {
        if !std::mem::take(&mut self.open) {
            return true;
        }
        // No reply comes to this request of tapline's: the client's takes its place, or it has no client.
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
