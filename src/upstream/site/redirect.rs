//! Redirections within the origin of a site, where tapline is the client; a client that is passed on follows its own.
//!
//! Only 307 and 308, which keep method and body (RFC 9110 §15.4). Where the URL itself has moved, that is remembered until the new
//! place is gone, and the next message goes there at once. Another origin is never asked: what is sent was meant for this one.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use reqwest::Url;

use super::{RequestTarget, ResponseBody, Site, without_fragment};
use crate::upstream::UpstreamError;

/// Redirections that are followed in a row.
const MOST_HOPS: usize = 5;

impl Site {
    /// Sends a request of ours to the URL, or to where it has moved.
    ///
    /// # Errors
    /// Where no answer comes, or a redirection cannot be followed.
    pub(in crate::upstream) async fn send_following(
        &self,
        method: Method,
        tail: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let is_endpoint = tail.is_empty();
        let moved = if is_endpoint { self.moved.lock().clone() } else { None };
        let place = moved.unwrap_or_else(|| self.own(tail));
        let (response, end) = self.follow(method, place, headers, body).await?;
        let gone = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE);
        if is_endpoint && (gone || end.is_some()) {
            *self.moved.lock() = end.filter(|_| !gone);
        }
        Ok(response)
    }

    /// Sends a request of ours where something from here points at.
    ///
    /// # Errors
    /// Where no answer comes, or a redirection cannot be followed.
    pub(in crate::upstream) async fn send_following_to(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let place = self.client.place(without_fragment(url.as_str())).filter(|_| self.is_origin_of(url));
        match place {
            Some(place) => Ok(self.follow(method, place, headers, body).await?.0),
            None => self.send_to(method, url, headers, body.into()).await,
        }
    }

    /// What a reference in an answer points at, wherever the URL has moved.
    pub(in crate::upstream) fn resolve_from_answer(&self, reference: &str) -> Option<Url> {
        let moved = self.moved.lock().as_ref().and_then(url_of);
        moved.as_ref().unwrap_or(&self.url).join(reference).ok()
    }

    /// Returns the answer, and where it came from if that was elsewhere.
    async fn follow(
        &self,
        method: Method,
        mut place: RequestTarget,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(Response<ResponseBody>, Option<RequestTarget>), UpstreamError> {
        for hops in 0..=MOST_HOPS {
            let response = self.send(method.clone(), place.clone(), headers.clone(), body.clone().into()).await?;
            match location(&response) {
                Some(location) => place = self.redirected(&place, location)?,
                None => return Ok((response, (hops > 0).then_some(place))),
            }
        }
        Err(self.not_followed(format!("redirects more than {MOST_HOPS} times in a row")))
    }

    fn redirected(&self, from: &RequestTarget, location: &HeaderValue) -> Result<RequestTarget, UpstreamError> {
        let text = String::from_utf8_lossy(location.as_bytes()).into_owned();
        let url = url_of(from).and_then(|url| url.join(&text).ok());
        let mut url = url.ok_or_else(|| self.not_followed("redirects to an invalid URL".to_owned()))?;
        if !self.is_origin_of(&url) {
            // Its query may hold a secret.
            let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
            return Err(self.not_followed(format!("redirects to another origin, `{place}`")));
        }
        // They cannot fail for a URL that has a host, as the origin is the same.
        let _ = url.set_username(self.url.username());
        let _ = url.set_password(self.url.password());
        let place = self.client.place(without_fragment(url.as_str()));
        place.ok_or_else(|| self.not_followed("redirects to an invalid URL".to_owned()))
    }

    fn not_followed(&self, why: String) -> UpstreamError {
        UpstreamError::Redirected { upstream: self.label.clone(), why }
    }
}

fn location(response: &Response<ResponseBody>) -> Option<&HeaderValue> {
    let redirects = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&response.status());
    response.headers().get(LOCATION).filter(|_| redirects)
}

fn url_of(place: &RequestTarget) -> Option<Url> {
    match place {
        RequestTarget::Near(uri) => uri.to_string().parse().ok(),
        RequestTarget::Far(url) => Some(url.clone()),
    }
}
