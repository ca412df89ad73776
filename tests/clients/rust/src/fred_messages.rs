//! fred: publish and subscribe, events of keys, tracking, watched transactions, users, Unix sockets.

use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::{CustomCommand, RespVersion};

use super::{Checked, all_bytes, deadline, soon};

pub async fn check(port: u16, socket: &str) -> Checked {
    for version in [RespVersion::RESP2, RespVersion::RESP3] {
        let name = format!("{version:?}");
        messages(port, version.clone()).await?;
        events(port, version.clone()).await?;
        pipelines(port, version.clone()).await?;
        users(port, version).await?;
        println!("messages, events, pipelines and users, {name}");
    }
    tracking(port).await?;
    unix_socket(socket).await
}

fn config(port: u16, version: RespVersion) -> Config {
    Config { server: ServerConfig::new_centralized("127.0.0.1", port), version, ..Config::default() }
}

fn builder(config: Config) -> Builder {
    let mut builder = Builder::from_config(config);
    builder.set_policy(ReconnectPolicy::new_constant(0, 20));
    builder
}

async fn connect(config: Config) -> Result<Client, Error> {
    let client = builder(config).build()?;
    client.init().await?;
    Ok(client)
}

async fn call(client: &Client, words: &[&str]) -> Result<Value, Error> {
    let command = CustomCommand::new(words[0].to_owned(), None, false);
    client.custom(command, words[1..].iter().map(|word| (*word).to_owned()).collect()).await
}

/// A subscriber that is killed comes back with all that it had subscribed to.
async fn messages(port: u16, version: RespVersion) -> Checked {
    let client = connect(config(port, version.clone())).await?;
    let subscriber: SubscriberClient = builder(config(port, version)).build_subscriber_client()?;
    subscriber.init().await?;
    let mut received = subscriber.message_rx();
    let managing = subscriber.manage_subscriptions();
    subscriber.subscribe("news").await?;
    subscriber.psubscribe("n*").await?;
    subscriber.ssubscribe("orders").await?;
    assert_eq!(client.publish::<i64, _, _>("news", all_bytes().as_slice()).await?, 2);
    assert_eq!(client.spublish::<i64, _, _>("orders", "three").await?, 1);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let message = soon("a message", received.recv()).await?;
        match message.channel.to_string().as_str() {
            "news" => assert_eq!(message.value.convert::<Vec<u8>>()?, all_bytes()),
            "orders" => assert_eq!(message.value.convert::<String>()?, "three"),
            other => return Err(format!("a message of {other}").into()),
        }
        kinds.push(format!("{:?}", message.kind));
    }
    assert_eq!(kinds, ["Message", "PMessage", "SMessage"]);
    assert_eq!(client.pubsub_channels::<Vec<String>, _>("*").await?, ["news"]);

    let mut back = subscriber.reconnect_rx();
    call(&client, &["CLIENT", "KILL", "TYPE", "pubsub"]).await?;
    soon("the subscriber to come back", back.recv()).await?;
    let deadline = deadline();
    // What counts the killed one, too, would say little.
    let mut again = std::collections::BTreeSet::new();
    while again.len() < 3 {
        assert!(std::time::Instant::now() < deadline, "waited for the subscriptions, after {again:?}");
        client.publish::<i64, _, _>("news", "again").await?;
        client.spublish::<i64, _, _>("orders", "again").await?;
        while let Ok(message) = received.try_recv() {
            assert_eq!(message.value.convert::<String>()?, "again");
            again.insert(format!("{:?} {}", message.kind, message.channel));
        }
        tokio::task::yield_now().await;
    }
    subscriber.unsubscribe_all().await?;
    subscriber.quit().await?;
    managing.abort();
    client.quit().await?;
    Ok(())
}

async fn events(port: u16, version: RespVersion) -> Checked {
    let client = connect(config(port, version.clone())).await?;
    call(&client, &["CONFIG", "SET", "notify-keyspace-events", "KEA"]).await?;
    let subscriber = connect(config(port, version)).await?;
    let mut received = subscriber.keyspace_event_rx();
    subscriber.psubscribe("__keyevent@0__:*").await?;
    // fred does not wait for what a subscription is answered.
    let deadline = deadline();
    while client.pubsub_numpat::<i64>().await? < 1 {
        assert!(std::time::Instant::now() < deadline, "waited for the subscription");
    }
    client.set::<(), _, _>("brief", "v", Some(Expiration::PX(20)), None, false).await?;
    let mut found = Vec::new();
    for _ in 0..3 {
        let event = soon("an event", received.recv()).await?;
        assert_eq!((event.db, event.key.as_str_lossy().as_ref()), (0, "brief"));
        found.push(event.operation);
    }
    assert_eq!(found, ["set", "expire", "expired"]);
    call(&client, &["CONFIG", "SET", "notify-keyspace-events", ""]).await?;
    subscriber.quit().await?;
    client.quit().await?;
    Ok(())
}

async fn pipelines(port: u16, version: RespVersion) -> Checked {
    let client = connect(config(port, version)).await?;
    client.set::<(), _, _>("word", "x", None, None, false).await?;
    let pipeline = client.pipeline();
    pipeline.incr::<(), _>("n").await?;
    pipeline.incr::<(), _>("word").await?;
    pipeline.get::<(), _>("word").await?;
    let replies = pipeline.try_all::<Value>().await;
    assert_eq!(replies.len(), 3);
    let refused = replies[1].as_ref().expect_err("not an integer");
    assert!(refused.details().contains("not an integer"), "{refused}");
    assert_eq!(replies[2].as_ref().map(|value| value.as_string()).ok().flatten().as_deref(), Some("x"));

    let transaction = client.multi();
    transaction.set::<(), _, _>("a", 1, None, None, false).await?;
    transaction.incr::<(), _>("a").await?;
    transaction.get::<(), _>("a").await?;
    assert_eq!(transaction.exec::<(String, i64, i64)>(true).await?, ("OK".to_owned(), 2, 2));

    // Every task has its own reply.
    let tasks: Vec<_> = (0..300)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let key = format!("task:{number}");
                client.set::<(), _, _>(&key, number, None, None, false).await?;
                client.getdel::<i64, _>(&key).await
            })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await??, i64::try_from(number)?);
    }
    client.flushall::<()>(false).await?;
    client.quit().await?;
    Ok(())
}

async fn users(port: u16, version: RespVersion) -> Checked {
    let control = connect(config(port, version.clone())).await?;
    let rules = ["ACL", "SETUSER", "reader", "on", ">secret", "~app:*", "+get", "+ping", "+info", "+client"];
    call(&control, &rules).await?;
    let named = |password: &str| Config {
        username: Some("reader".to_owned()),
        password: Some(password.to_owned()),
        fail_fast: true,
        ..config(port, version.clone())
    };
    let reader = connect(named("secret")).await?;
    assert_eq!(reader.get::<Option<String>, _>("app:1").await?, None);
    let refused = reader.get::<Option<String>, _>("other").await.expect_err("no permission");
    assert!(refused.details().contains("NOPERM"), "{refused}");
    reader.quit().await?;
    let wrong = Builder::from_config(named("wrong")).build()?;
    let refused = soon("to be refused", wrong.init()).await.expect_err("a wrong password");
    assert_eq!(refused.kind(), &ErrorKind::Auth, "{refused}");
    call(&control, &["ACL", "DELUSER", "reader"]).await?;
    control.quit().await?;
    Ok(())
}

async fn tracking(port: u16) -> Checked {
    let client = connect(config(port, RespVersion::RESP3)).await?;
    let other = connect(config(port, RespVersion::RESP3)).await?;
    let mut received = client.invalidation_rx();
    client.start_tracking(Vec::<String>::new(), false, false, false, false).await?;
    other.set::<(), _, _>("k", 1, None, None, false).await?;
    assert_eq!(client.get::<i64, _>("k").await?, 1);
    other.set::<(), _, _>("k", 2, None, None, false).await?;
    let told = soon("the invalidation", received.recv()).await?;
    assert_eq!(told.keys, [fred::types::Key::from("k")]);
    client.stop_tracking().await?;
    // By prefix, also of keys that were never read.
    client.start_tracking("user:", true, false, false, false).await?;
    other.mset(vec![("other", 1), ("user:1", 1)]).await?;
    let told = soon("the invalidation", received.recv()).await?;
    assert_eq!(told.keys, [fred::types::Key::from("user:1")]);
    other.flushall::<()>(false).await?;
    client.quit().await?;
    other.quit().await?;
    println!("tracking");
    Ok(())
}

async fn unix_socket(socket: &str) -> Checked {
    for version in [RespVersion::RESP2, RespVersion::RESP3] {
        let config = Config { server: ServerConfig::new_unix_socket(socket), version, ..Config::default() };
        let client = connect(Config { database: Some(2), ..config }).await?;
        client.set::<(), _, _>("k", "v", None, None, false).await?;
        let info = call(&client, &["CLIENT", "INFO"]).await?.convert::<String>()?;
        assert!(info.contains(" flags=U db=2 "), "{info}");
        client.quit().await?;
    }
    println!("Unix socket");
    Ok(())
}
