//! redis-rs: blocking, multiplexed and managed connections, in both protocol versions.

use redis::aio::ConnectionManager;
use redis::{AsyncCommands, Client, Commands, ErrorKind, ProtocolVersion, ServerErrorKind, pipe, transaction};

use super::{Checked, all_bytes, deadline, restart};

pub async fn check(port: u16) -> Checked {
    for protocol in ["resp2", "resp3"] {
        let client = Client::open(format!("redis://127.0.0.1:{port}/1?protocol={protocol}"))?;
        blocking(&client)?;
        multiplexed(&client).await?;
        println!("values and transactions, {protocol}");
    }
    reconnects(&Client::open(format!("redis://127.0.0.1:{port}/"))?).await
}

fn blocking(client: &Client) -> Checked {
    let mut connection = client.get_connection()?;
    let _: () = connection.set("k", "v")?;
    assert_eq!(connection.get::<_, Option<String>>("k")?.as_deref(), Some("v"));
    assert_eq!(connection.get::<_, Option<String>>("nothing")?, None);
    let _: () = connection.set_ex("session", "s", 100)?;
    assert_eq!(connection.ttl::<_, i64>("session")?, 100);
    assert!(connection.persist::<_, bool>("session")?);
    let _: () = connection.mset(&[("a", 1), ("b", 2)])?;
    assert_eq!(connection.mget::<_, Vec<Option<i64>>>(&["a", "nothing", "b"])?, [Some(1), None, Some(2)]);
    assert_eq!(connection.incr::<_, _, i64>("a", 41)?, 42);
    assert_eq!(connection.incr::<_, _, f64>("b", 0.5)?, 2.5);
    assert_eq!(connection.append::<_, _, usize>("k", "w")?, 2);
    assert_eq!(connection.get_del::<_, String>("k")?, "vw");
    let _: () = connection.set(all_bytes(), all_bytes())?;
    assert_eq!(connection.get::<_, Vec<u8>>(all_bytes())?, all_bytes());
    let refused = connection.incr::<_, _, i64>("session", 1).expect_err("not an integer");
    assert_eq!(refused.kind(), ErrorKind::Server(ServerErrorKind::ResponseError), "{refused}");

    let replies: (String, i64) = pipe().atomic().set("t", 1).incr("t", 1).query(&mut connection)?;
    assert_eq!(replies, ("OK".to_owned(), 2));
    let mut attempts = 0;
    let mut other = client.get_connection()?;
    let (value,): (i64,) = transaction(&mut connection, &["t"], |connection, pipe| {
        attempts += 1;
        let value: i64 = connection.get("t")?;
        if attempts == 1 {
            let _: () = other.set("t", 100)?;
        }
        pipe.set("t", value + 1).ignore().get("t").query(connection)
    })?;
    assert_eq!((attempts, value), (2, 101));

    let found: Vec<String> = connection.scan_match("[a-t]*")?.collect::<Result<_, _>>()?;
    assert_eq!(found.len(), 4, "{found:?}");
    let _: () = redis::cmd("FLUSHDB").query(&mut connection)?;
    Ok(())
}

async fn multiplexed(client: &Client) -> Checked {
    let connection = client.get_multiplexed_async_connection().await?;
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let mut connection = connection.clone();
            tokio::spawn(async move { connection.incr::<_, _, i64>("n", 1).await })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.push(task.await??);
    }
    found.sort_unstable();
    assert_eq!(found, (1..=500).collect::<Vec<i64>>());
    let mut connection = connection;
    let _: () = connection.set_ex("n", "v", 10).await?;
    assert!(connection.pttl::<_, i64>("n").await? > 9_000);
    let information: redis::InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
    assert_eq!(information.get::<String>("redis_version").as_deref(), Some("7.4.0"));
    let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
    Ok(())
}

async fn reconnects(client: &Client) -> Checked {
    assert_eq!(client.get_connection_info().redis_settings().protocol(), ProtocolVersion::RESP2);
    let mut connection = ConnectionManager::new(client.clone()).await?;
    let _: () = connection.set("kept", "yes").await?;
    restart()?;
    let deadline = deadline();
    loop {
        // The first command after the end fails, and has the manager connect anew.
        match connection.get::<_, String>("kept").await {
            Ok(value) => {
                assert_eq!(value, "yes");
                println!("reconnects");
                return Ok(());
            }
            Err(error) if std::time::Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
