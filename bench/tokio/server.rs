// Echo over tokio's current-thread runtime, and the handlers of `busy`.
// SPDX-License-Identifier: MIT
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Result};
use tokio::net::{TcpListener, UnixListener};

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut buffer = [0u8; 16384];
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..size]).await?;
    }
}

// Sleeps between reading a message and answering it.
async fn with_timer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut message = [0u8; 64];
    loop {
        let size = stream.read(&mut message).await?;
        if size == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        stream.write_all(&message[..size]).await?;
    }
}

// Hands each message to another task through one queue and awaits its answer from another.
async fn with_queue(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let (jobs, mut job) = tokio::sync::mpsc::channel::<usize>(1);
    let (results, mut result) = tokio::sync::mpsc::channel::<usize>(1);
    tokio::spawn(async move {
        while let Some(size) = job.recv().await {
            if results.send(size).await.is_err() {
                return;
            }
        }
    });
    let mut message = [0u8; 64];
    loop {
        let size = stream.read(&mut message).await?;
        if size == 0 {
            return Ok(());
        }
        jobs.send(size).await.unwrap();
        let size = result.recv().await.unwrap();
        stream.write_all(&message[..size]).await?;
    }
}

fn handle(mode: &str, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    match mode {
        "timer" => drop(tokio::spawn(with_timer(stream))),
        "queue" => drop(tokio::spawn(with_queue(stream))),
        _ => drop(tokio::spawn(echo(stream))),
    }
}

async fn serve(path: Option<String>, mode: String) -> Result<()> {
    if let Some(path) = path {
        let listener = UnixListener::bind(&path)?;
        println!("listening on {path}");
        loop {
            handle(&mode, listener.accept().await?.0);
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let stream = listener.accept().await?.0;
        stream.set_nodelay(true)?;
        handle(&mode, stream);
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).map(|i| arguments[i + 1].clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = serve(value("--unix"), value("--mode").unwrap_or_default()) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}
