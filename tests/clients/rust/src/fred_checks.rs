//! fred: single client, pool, pipeline and transaction, in both protocol versions.

use fred::prelude::*;
use fred::types::RespVersion;

use super::{Checked, all_bytes, restart};

pub async fn check(port: u16) -> Checked {
    for version in [RespVersion::RESP2, RespVersion::RESP3] {
        let name = format!("{version:?}");
        let client = connect(port, version).await?;
        values(&client).await?;
        transactions(&client).await?;
        client.quit().await?;
        println!("values and transactions, {name}");
    }
    pool(port).await?;
    reconnects(port).await
}

async fn connect(port: u16, version: RespVersion) -> Result<Client, Error> {
    let config = Config { server: ServerConfig::new_centralized("127.0.0.1", port), version, ..Config::default() };
    let client = Builder::from_config(config).set_policy(ReconnectPolicy::new_constant(0, 20)).build()?;
    client.init().await?;
    Ok(client)
}

async fn values(client: &Client) -> Checked {
    client.set::<(), _, _>("k", "v", Some(Expiration::EX(100)), Some(SetOptions::NX), false).await?;
    assert_eq!(client.get::<Option<String>, _>("k").await?.as_deref(), Some("v"));
    assert_eq!(client.get::<Option<String>, _>("nothing").await?, None);
    assert_eq!(client.ttl::<i64, _>("k").await?, 100);
    assert!(client.persist::<bool, _>("k").await?);
    client.mset(vec![("a", 1), ("b", 2)]).await?;
    assert_eq!(client.mget::<Vec<Option<i64>>, _>(vec!["a", "nothing", "b"]).await?, [Some(1), None, Some(2)]);
    assert_eq!(client.incr_by::<i64, _>("a", 41).await?, 42);
    assert_eq!(client.incr_by_float::<f64, _>("b", 0.5).await?, 2.5);
    assert_eq!(client.getdel::<String, _>("k").await?, "v");
    client.set::<(), _, _>("binary", all_bytes().as_slice(), None, None, false).await?;
    assert_eq!(client.get::<Vec<u8>, _>("binary").await?, all_bytes());
    let refused = client.incr::<i64, _>("binary").await.expect_err("not an integer");
    assert!(refused.details().contains("not an integer"), "{refused}");
    assert_eq!(client.server_version().map(|version| version.to_string()).as_deref(), Some("7.4.0"));
    client.flushall::<()>(false).await?;
    Ok(())
}

async fn transactions(client: &Client) -> Checked {
    let pipeline = client.pipeline();
    for _ in 0..1_000 {
        pipeline.incr::<(), _>("n").await?;
    }
    assert_eq!(pipeline.all::<Vec<i64>>().await?, (1..=1_000).collect::<Vec<i64>>());
    let transaction = client.multi();
    transaction.set::<(), _, _>("t", 1, None, None, false).await?;
    transaction.incr::<(), _>("t").await?;
    transaction.get::<(), _>("t").await?;
    assert_eq!(transaction.exec::<(String, i64, i64)>(true).await?, ("OK".to_owned(), 2, 2));
    client.flushall::<()>(false).await?;
    Ok(())
}

async fn pool(port: u16) -> Checked {
    let config = Config { server: ServerConfig::new_centralized("127.0.0.1", port), ..Config::default() };
    let pool = Builder::from_config(config).build_pool(8)?;
    pool.init().await?;
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.incr::<i64, _>("pooled").await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    assert_eq!(pool.getdel::<i64, _>("pooled").await?, 500);
    pool.quit().await?;
    println!("pool");
    Ok(())
}

async fn reconnects(port: u16) -> Checked {
    let client = connect(port, RespVersion::RESP3).await?;
    client.set::<(), _, _>("kept", "yes", None, None, false).await?;
    restart()?;
    assert_eq!(client.get::<String, _>("kept").await?, "yes");
    client.quit().await?;
    println!("reconnects");
    Ok(())
}
