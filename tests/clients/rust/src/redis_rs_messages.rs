//! redis-rs: publish and subscribe, pushes, its client-side cache, users, Unix sockets.

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::caching::CacheConfig;
use redis::{AsyncCommands, AsyncConnectionConfig, Client, Commands, ErrorKind, PushInfo, PushKind, ServerErrorKind};
use redis::{Value, cmd};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Checked, all_bytes, deadline, soon};

pub async fn check(port: u16, socket: &str) -> Checked {
    let (two, three) = (open(port, 2)?, open(port, 3)?);
    for (client, name) in [(&two, "RESP2"), (&three, "RESP3")] {
        blocking_messages(client)?;
        asynchronous_messages(client).await?;
        users(client, port)?;
        println!("messages and users, {name}");
    }
    pushes(&three).await?;
    blocking_pushes(&three)?;
    cache(&three).await?;
    managed(&three).await?;
    unix_socket(socket)
}

fn open(port: u16, protocol: u8) -> redis::RedisResult<Client> {
    Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp{protocol}"))
}

fn blocking_messages(client: &Client) -> Checked {
    let (mut connection, mut other) = (client.get_connection()?, client.get_connection()?);
    let mut messages = connection.as_pubsub();
    messages.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    messages.subscribe("news")?;
    messages.psubscribe("n*")?;
    assert_eq!(other.publish::<_, _, i64>("news", all_bytes())?, 2);
    let (first, second) = (messages.get_message()?, messages.get_message()?);
    assert_eq!((first.get_channel_name(), first.get_payload::<Vec<u8>>()?), ("news", all_bytes()));
    assert_eq!((second.get_channel_name(), second.get_pattern::<String>()?), ("news", "n*".to_owned()));
    assert!(format!("{:?}", messages.ping::<Value>()?).to_lowercase().contains("pong"));
    messages.unsubscribe("news")?;
    messages.punsubscribe("n*")?;
    drop(messages);
    // The connection is an ordinary one again.
    assert_eq!(connection.set::<_, _, String>("k", "v")?, "OK");
    let _: () = cmd("FLUSHALL").query(&mut connection)?;
    Ok(())
}

async fn asynchronous_messages(client: &Client) -> Checked {
    let mut other = client.get_multiplexed_async_connection().await?;
    let (mut sink, mut stream) = client.get_async_pubsub().await?.split();
    sink.subscribe(&["news", "weather"]).await?;
    sink.psubscribe("n?ws").await?;
    for number in 0..500 {
        assert_eq!(other.publish::<_, _, i64>("weather", number).await?, 1);
    }
    for number in 0..500 {
        let message = soon("a message", stream.next()).await.ok_or("the end of the stream")?;
        assert_eq!((message.get_channel_name(), message.get_payload::<i64>()?), ("weather", number));
    }
    assert_eq!(other.publish::<_, _, i64>("news", "x").await?, 2);
    let found = [soon("it", stream.next()).await, soon("it once more", stream.next()).await];
    let patterns: Vec<bool> = found.iter().flatten().map(redis::Msg::from_pattern).collect();
    assert_eq!(patterns, [false, true]);
    sink.unsubscribe("news").await?;
    assert_eq!(other.publish::<_, _, i64>("news", "x").await?, 1);
    drop((sink, stream));
    let deadline = deadline();
    while cmd("PUBSUB").arg("NUMPAT").query_async::<i64>(&mut other).await? > 0 {
        assert!(std::time::Instant::now() < deadline, "waited for the subscriber to be gone");
    }
    Ok(())
}

fn users(client: &Client, port: u16) -> Checked {
    let mut control = client.get_connection()?;
    let rules = ["on", ">secret", "~app:*", "+get", "+ping", "+client|setinfo"];
    let _: () = cmd("ACL").arg("SETUSER").arg("reader").arg(&rules).query(&mut control)?;
    let protocol = if client.get_connection_info().redis_settings().protocol().supports_resp3() { 3 } else { 2 };
    let named =
        |password: &str| Client::open(format!("redis://reader:{password}@127.0.0.1:{port}/?protocol=resp{protocol}"));
    let mut reader = named("secret")?.get_connection()?;
    assert_eq!(reader.get::<_, Option<String>>("app:1")?, None);
    let refused = reader.get::<_, Option<String>>("other").expect_err("no permission");
    assert_eq!(refused.kind(), ErrorKind::Server(ServerErrorKind::NoPerm), "{refused}");
    let refused = named("wrong")?.get_connection().err().ok_or("a wrong password is refused")?;
    // In RESP3 it is the server's word, in RESP2 the library's.
    let told = refused.code() == Some("WRONGPASS") || refused.kind() == ErrorKind::AuthenticationFailed;
    assert!(told, "{refused}");
    assert_eq!(cmd("ACL").arg("DELUSER").arg("reader").query::<i64>(&mut control)?, 1);
    Ok(())
}

async fn pushed(receiver: &mut UnboundedReceiver<PushInfo>, kind: PushKind) -> PushInfo {
    loop {
        let push = soon("a push", receiver.recv()).await.expect("a push");
        if push.kind == kind {
            return push;
        }
    }
}

/// One connection that subscribes, is told of changes, and runs commands, all at once.
async fn pushes(client: &Client) -> Checked {
    let (sender, mut receiver) = unbounded_channel();
    let config = AsyncConnectionConfig::new().set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut other = client.get_multiplexed_async_connection().await?;
    connection.subscribe("news").await?;
    let push = pushed(&mut receiver, PushKind::Subscribe).await;
    assert_eq!(push.data, [Value::BulkString(b"news".to_vec()), Value::Int(1)]);
    let _: () = cmd("CLIENT").arg(&["TRACKING", "ON"]).query_async(&mut connection).await?;
    let _: () = other.set("k", 1).await?;
    assert_eq!(connection.get::<_, i64>("k").await?, 1);
    let _: () = other.set("k", 2).await?;
    let push = pushed(&mut receiver, PushKind::Invalidate).await;
    assert_eq!(push.data, [Value::Array(vec![Value::BulkString(b"k".to_vec())])]);
    let publisher = tokio::spawn(async move {
        for number in 0..300 {
            let _: i64 = other.publish("news", number).await.expect("to publish");
        }
        let _: () = cmd("FLUSHALL").query_async(&mut other).await.expect("to flush");
    });
    for _ in 0..300 {
        assert_eq!(connection.incr::<_, _, i64>("own", 1).await.map(|value| value > 0)?, true);
    }
    for number in 0..300 {
        let push = pushed(&mut receiver, PushKind::Message).await;
        assert_eq!(push.data[1], Value::BulkString(number.to_string().into_bytes()));
    }
    let push = pushed(&mut receiver, PushKind::Invalidate).await;
    assert!(matches!(push.data[0], Value::Nil | Value::Array(_)), "{push:?}");
    publisher.await?;
    println!("pushes");
    Ok(())
}

fn blocking_pushes(client: &Client) -> Checked {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (mut connection, mut other) = (client.get_connection()?, client.get_connection()?);
    connection.set_push_sender(sender);
    let _: () = cmd("CLIENT").arg(&["TRACKING", "ON"]).query(&mut connection)?;
    let _: Option<String> = connection.get("k")?;
    let _: () = other.set("k", "v")?;
    let deadline = deadline();
    // It reads what is pushed while it waits for a reply.
    let push = loop {
        let _: String = connection.ping()?;
        match receiver.try_recv() {
            Ok(push) => break push,
            Err(_) => assert!(std::time::Instant::now() < deadline, "waited for a push"),
        }
    };
    assert_eq!(push.kind, PushKind::Invalidate);
    let _: () = cmd("FLUSHALL").query(&mut other)?;
    println!("blocking pushes");
    Ok(())
}

async fn cache(client: &Client) -> Checked {
    let config = AsyncConnectionConfig::new().set_cache_config(CacheConfig::new());
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut other = client.get_multiplexed_async_connection().await?;
    let _: () = other.mset(&[("a", 1), ("b", 2)]).await?;
    for _ in 0..100 {
        assert_eq!(connection.get::<_, i64>("a").await?, 1);
        assert_eq!(connection.mget::<_, Vec<i64>>(&["a", "b"]).await?, [1, 2]);
    }
    let statistics = connection.get_cache_statistics().ok_or("statistics")?;
    assert!(statistics.hit >= 198 && statistics.miss <= 3, "{statistics:?}");
    let _: () = other.set("a", 10).await?;
    let deadline = deadline();
    while connection.get::<_, Option<i64>>("a").await? != Some(10) {
        assert!(std::time::Instant::now() < deadline, "waited for the new value");
    }
    let _: () = cmd("FLUSHALL").query_async(&mut other).await?;
    while connection.get::<_, Option<i64>>("a").await?.is_some() {
        assert!(std::time::Instant::now() < deadline, "waited for the flush to be heard of");
    }
    println!("cache");
    Ok(())
}

/// A managed connection whose subscriptions come back when it was killed.
async fn managed(client: &Client) -> Checked {
    let (sender, mut receiver) = unbounded_channel();
    let config = ConnectionManagerConfig::new().set_push_sender(sender).set_automatic_resubscription();
    let mut connection = ConnectionManager::new_with_config(client.clone(), config).await?;
    let mut other = client.get_multiplexed_async_connection().await?;
    connection.subscribe("news").await?;
    connection.psubscribe("w*").await?;
    let id: i64 = cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
    let killed: i64 = cmd("CLIENT").arg(&["KILL", "ID", &id.to_string()]).query_async(&mut other).await?;
    assert_eq!(killed, 1);
    let deadline = deadline();
    let id = format!("id={id} ");
    while cmd("CLIENT").arg("LIST").query_async::<String>(&mut other).await?.contains(&id) {
        assert!(std::time::Instant::now() < deadline, "waited for the killed connection to be gone");
    }
    loop {
        let ours = connection.ping::<String>().await.is_ok();
        let there: (String, i64) = cmd("PUBSUB").arg(&["NUMSUB", "news"]).query_async(&mut other).await?;
        let patterns: i64 = cmd("PUBSUB").arg("NUMPAT").query_async(&mut other).await?;
        if ours && (there.1, patterns) == (1, 1) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "waited for the subscriptions to be back");
        tokio::task::yield_now().await;
    }
    assert_eq!(other.publish::<_, _, i64>("news", "again").await?, 1);
    assert_eq!(other.publish::<_, _, i64>("weather", "rain").await?, 1);
    pushed(&mut receiver, PushKind::Message).await;
    pushed(&mut receiver, PushKind::PMessage).await;
    println!("managed");
    Ok(())
}

fn unix_socket(socket: &str) -> Checked {
    for protocol in [2, 3] {
        let client = Client::open(format!("redis+unix://{socket}?db=2&protocol=resp{protocol}"))?;
        let mut connection = client.get_connection()?;
        let _: () = connection.set("k", "v")?;
        let info: String = cmd("CLIENT").arg("INFO").query(&mut connection)?;
        assert!(info.contains(" flags=U db=2 ") && info.contains(" lib-name=redis-rs "), "{info}");
    }
    println!("Unix socket");
    Ok(())
}
