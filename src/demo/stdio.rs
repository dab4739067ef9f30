//! The demo server over pipes: one message on each line (stdio transport, all revisions).

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::call::STREAM_LIMIT;
use super::options::ServerOptions;
use super::session::{DemoSession, error_without_id};

/// Serves one client until its pipe ends. What is being worked on is then still answered, unless it waits for the
/// client.
///
/// # Errors
/// When a pipe breaks.
pub async fn serve_stdio(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    options: ServerOptions,
) -> std::io::Result<()> {
    let (out, lines) = mpsc::channel(STREAM_LIMIT);
    // Both ends in one task: a client that goes away ends both.
    tokio::try_join!(read(reader, out, options), write(writer, lines)).map(|_| ())
}

async fn read(
    reader: impl AsyncRead + Unpin,
    out: mpsc::Sender<String>,
    options: ServerOptions,
) -> std::io::Result<()> {
    let session = DemoSession::new(options, CancellationToken::new());
    session.client.speak_to(out.clone());
    let mut work = JoinSet::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        if !line.trim_ascii().is_empty() {
            take_line(&session, &line, &out, &mut work).await;
        }
        line.clear();
        while work.try_join_next().is_some() {}
    }
    session.client.is_gone.cancel();
    work.join_all().await;
    Ok(())
}

async fn take_line(session: &Arc<DemoSession>, line: &[u8], out: &mpsc::Sender<String>, work: &mut JoinSet<()>) {
    let Ok(message) = serde_json::from_slice::<Value>(line) else {
        let _ = out.send(error_without_id(-32700, "Parse error")).await;
        return;
    };
    if let Some(answer) = session.receive(&message, out.clone()) {
        let out = out.clone();
        work.spawn(async move {
            if let Some(reply) = answer.await {
                let _ = out.send(reply).await;
            }
        });
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut lines: mpsc::Receiver<String>) -> std::io::Result<()> {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        writer.write_all(line.as_bytes()).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}
