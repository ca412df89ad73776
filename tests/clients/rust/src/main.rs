//! redis-rs and fred, unchanged. Called with the name of a set of checks, a port, and the path of a Unix socket; prints
//! RESTART when the server is to be started again, and waits for a line.

mod fred_checks;
mod fred_messages;
mod redis_rs;
mod redis_rs_messages;

use std::error::Error;
use std::time::{Duration, Instant};

type Checked = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Checked {
    let mut arguments = std::env::args().skip(1);
    let client = arguments.next().ok_or("a client")?;
    let port: u16 = arguments.next().ok_or("a port")?.parse()?;
    let socket = arguments.next().ok_or("a Unix socket")?;
    match client.as_str() {
        "redis-rs" => redis_rs::check(port).await?,
        "redis-rs-messages" => redis_rs_messages::check(port, &socket).await?,
        "fred" => fred_checks::check(port).await?,
        "fred-messages" => fred_messages::check(port, &socket).await?,
        other => return Err(format!("no checks called {other}").into()),
    }
    println!("DONE");
    Ok(())
}

/// Has the server started again.
fn restart() -> Checked {
    println!("RESTART");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// The next of what is received, within the time that a check may take.
async fn soon<T>(what: &str, next: impl Future<Output = T>) -> T {
    tokio::time::timeout_at(deadline().into(), next).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}
