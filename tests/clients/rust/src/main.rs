//! redis-rs and fred, unchanged. Called with a client's name and a port; prints RESTART when the server is to be
//! started again, and waits for a line.

mod fred_checks;
mod redis_rs;

use std::error::Error;
use std::time::{Duration, Instant};

type Checked = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Checked {
    let mut arguments = std::env::args().skip(1);
    let client = arguments.next().ok_or("a client")?;
    let port: u16 = arguments.next().ok_or("a port")?.parse()?;
    match client.as_str() {
        "redis-rs" => redis_rs::check(port).await,
        "fred" => fred_checks::check(port).await,
        other => Err(format!("no client {other}").into()),
    }
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

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}
