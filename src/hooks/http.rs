//! An address on this machine that answers.

use std::time::Duration;

use tokio::sync::mpsc;

use super::HookJob;

/// Hands each question to the address, all of them at once.
pub(super) async fn serve(url: String, timeout: Duration, mut jobs: mpsc::Receiver<HookJob>) {
    let client = reqwest::Client::builder().no_proxy().timeout(timeout).build();
    while let Some(job) = jobs.recv().await {
        let (client, url) = (client.as_ref().map(Clone::clone).map_err(ToString::to_string), url.clone());
        tokio::spawn(async move {
            let answer = match client {
                Ok(client) => post(&client, &url, job.request).await,
                Err(why) => Err(why),
            };
            // The message may be gone.
            let _ = job.answer.send(answer);
        });
    }
}

async fn post(client: &reqwest::Client, url: &str, request: String) -> Result<String, String> {
    let response = client.post(url).header("content-type", "application/json").body(request).send().await;
    let response = response.map_err(|why| format!("{url} does not answer: {}", why.without_url()))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{url} answered with HTTP status {}", status.as_u16()));
    }
    response.text().await.map_err(|why| format!("the answer of {url} cannot be read: {}", why.without_url()))
}
