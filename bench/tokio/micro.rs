// The question `micro` for tokio's current-thread runtime: one operation, named on the command line. It prints JSON.
// SPDX-License-Identifier: MIT
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::yield_now;

const FAR: Duration = Duration::from_secs(3600);

fn cpu() -> f64 {
    // utime and stime would be in hundredths of a second
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap()
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

async fn nothing() {}

// As a child whose type the caller doesn't know: else there is no call at all.
#[inline(never)]
fn boxed() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(nothing())
}

async fn await_child(n: usize) {
    for _ in 0..n {
        boxed().await;
    }
}

async fn spawn(n: usize) {
    for i in 0..n {
        tokio::spawn(nothing());
        if i % 1000 == 999 {
            yield_now().await;
        }
    }
}

async fn spawn_join(n: usize) {
    for _ in 0..n {
        tokio::spawn(nothing()).await.unwrap();
    }
}

async fn take_turns(n: usize) {
    for _ in 0..n {
        yield_now().await;
    }
}

async fn yields(n: usize) {
    let other = tokio::spawn(take_turns(n / 2));
    take_turns(n / 2).await;
    other.await.unwrap();
}

async fn queue(n: usize) {
    let (put, mut get) = tokio::sync::mpsc::channel::<usize>(1);
    let other = tokio::spawn(async move { while get.recv().await.is_some() {} });
    for i in 0..n {
        put.send(i).await.unwrap();
    }
    drop(put);
    other.await.unwrap();
}

async fn lock(n: usize) {
    let mutex = tokio::sync::Mutex::new(0);
    for _ in 0..n {
        *mutex.lock().await += 1;
    }
}

async fn timer(n: usize) {
    for _ in 0..n {
        tokio::select! {
            biased;
            _ = tokio::time::sleep(FAR) => {}
            _ = std::future::ready(()) => {}
        }
    }
}

async fn timeout(n: usize) {
    for _ in 0..n {
        tokio::time::timeout(FAR, boxed()).await.unwrap();
    }
}

async fn sleeps(n: usize) -> f64 {
    let before = resident();
    let start = Instant::now() + Duration::from_micros(5) * n as u32;
    let left = Arc::new(AtomicUsize::new(n));
    for i in 0..n {
        let nap = Duration::from_nanos(((i as u32).wrapping_mul(2654435761) % 1_000_000_000) as u64);
        let left = left.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until((start + nap).into()).await;
            left.fetch_sub(1, Ordering::Relaxed);
        });
    }
    yield_now().await;
    let bytes = (resident() - before) / n as f64;
    while left.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bytes
}

async fn post(n: usize) {
    let handle = tokio::runtime::Handle::current();
    let left = Arc::new(AtomicUsize::new(n));
    let all = Arc::new(tokio::sync::Notify::new());
    let done = all.clone();
    let poster = std::thread::spawn(move || {
        for _ in 0..n {
            let (left, all) = (left.clone(), all.clone());
            handle.spawn(async move {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    all.notify_one();
                }
            });
        }
    });
    done.notified().await;
    poster.join().unwrap();
}

async fn to_thread(n: usize) {
    for _ in 0..n {
        tokio::task::spawn_blocking(|| 1).await.unwrap();
    }
}

async fn cancel(n: usize) {
    for _ in 0..n {
        let task = tokio::spawn(tokio::time::sleep(FAR));
        yield_now().await;
        task.abort();
        task.await.unwrap_err();
    }
}

async fn run(operation: &str, n: usize) {
    match operation {
        "await_child" => await_child(n).await,
        "spawn" => spawn(n).await,
        "spawn_join" => spawn_join(n).await,
        "yield" => yields(n).await,
        "queue" => queue(n).await,
        "lock" => lock(n).await,
        "timer" => timer(n).await,
        "timeout" => timeout(n).await,
        "post" => post(n).await,
        "to_thread" => to_thread(n).await,
        "cancel" => cancel(n).await,
        _ => panic!("no such operation"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let operation = arguments[1].as_str();
    if operation == "list" {
        println!("await_child spawn spawn_join yield queue lock timer timeout sleeps post to_thread cancel");
        return;
    }
    let least: f64 = arguments[2].parse().unwrap(); // seconds
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let operation = operation.to_string();
    // In a task: what block_on() itself runs waits for the selector between its turns.
    let main = async move {
        let operation = operation.as_str();
        if operation == "sleeps" {
            let tasks = std::env::var("HEDDLE_BENCH_TASKS").map_or(1_000_000, |text| text.parse().unwrap());
            let before = cpu();
            let bytes = sleeps(tasks).await;
            println!("{{\"ns\": {}, \"bytes\": {}}}", (cpu() - before) / tasks as f64, bytes);
            return;
        }
        let threads = operation == "post" || operation == "to_thread";
        let mut n = if operation == "post" { 100_000 } else { 1000 };
        loop {
            let (before, start) = (cpu(), Instant::now());
            run(operation, n).await;
            let spent = if threads { start.elapsed().as_nanos() as f64 } else { cpu() - before };
            if spent >= least * 1e9 || operation == "post" {
                println!("{{\"ns\": {}}}", spent / n as f64);
                return;
            }
            n *= 4;
        }
    };
    runtime.block_on(async { tokio::spawn(main).await.unwrap() })
}
