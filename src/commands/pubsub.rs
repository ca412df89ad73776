//! Publish and subscribe.

use bytes::Bytes;

use super::effects::Effect;
use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop};
use crate::node::Space;
use crate::node::acl::ChannelWords;
use crate::protocol::Reply;

/// Of who subscribes and unsubscribes.
const LISTENING: Flags =
    Flags::PUBSUB.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE).with(Flags::LISTENING);
const PUBLISHING: Flags = Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST);
const LOOKING: Flags = Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE);

pub(super) const TABLE: &[Command] = &checked(
    Group::PubSub,
    [
        Command::new("PSUBSCRIBE", "pattern [pattern ...]", psubscribe)
            .channels(ChannelWords::Patterns)
            .summary("Listens to all channels whose names match one of the patterns.")
            .since("2.0.0")
            .complexity("O(N) for N patterns")
            .flag(LISTENING),
        Command::new("PUBLISH", "channel message", publish)
            .channels(ChannelWords::First)
            .summary("Sends a message to all who listen to the channel; answers how many that are.")
            .since("2.0.0")
            .complexity("O(N+M) for N listeners of the channel and M patterns of anybody")
            .flag(PUBLISHING)
            .flag(Flags::MAY_REPLICATE),
        Command::new("PUBSUB", "subcommand [argument ...]", container)
            .summary("Looks at channels and at who listens to them.")
            .since("2.8.0")
            .complexity("Depends on the subcommand")
            .subcommands(SUBCOMMANDS),
        Command::new("PUNSUBSCRIBE", "[pattern [pattern ...]]", punsubscribe)
            .summary("Ends listening to patterns, or to all of them.")
            .since("2.0.0")
            .complexity("O(N) for N patterns")
            .flag(LISTENING),
        Command::new("SPUBLISH", "shardchannel message", spublish)
            .shard_channels(1, 1)
            .channels(ChannelWords::First)
            .summary("Sends a message to all who listen to the shard channel; answers how many that are.")
            .since("7.0.0")
            .complexity("O(N) for N listeners")
            .flag(PUBLISHING)
            .flag(Flags::MAY_REPLICATE),
        Command::new("SSUBSCRIBE", "shardchannel [shardchannel ...]", ssubscribe)
            .shard_channels(1, -1)
            .channels(ChannelWords::All)
            .summary("Listens to shard channels.")
            .since("7.0.0")
            .complexity("O(N) for N channels")
            .flag(LISTENING),
        Command::new("SUBSCRIBE", "channel [channel ...]", subscribe)
            .channels(ChannelWords::All)
            .summary("Listens to channels.")
            .since("2.0.0")
            .complexity("O(N) for N channels")
            .flag(LISTENING),
        Command::new("SUNSUBSCRIBE", "[shardchannel [shardchannel ...]]", sunsubscribe)
            .shard_channels(1, -1)
            .summary("Ends listening to shard channels, or to all of them.")
            .since("7.0.0")
            .complexity("O(N) for N channels")
            .flag(LISTENING),
        Command::new("UNSUBSCRIBE", "[channel [channel ...]]", unsubscribe)
            .summary("Ends listening to channels, or to all of them.")
            .since("2.0.0")
            .complexity("O(N) for N channels")
            .flag(LISTENING),
    ],
);

const SUBCOMMANDS: &[Command] = &checked(
    Group::PubSub,
    [
        Command::new("CHANNELS", "[pattern]", channels)
            .summary("Answers the channels that somebody listens to.")
            .since("2.8.0")
            .complexity("O(N) for N channels")
            .flag(LOOKING),
        Command::new("HELP", "", help)
            .summary("Lists the subcommands.")
            .since("6.2.0")
            .flag(Flags::LOADING)
            .flag(Flags::STALE),
        Command::new("NUMPAT", "", numpat)
            .summary("Answers to how many patterns anybody listens.")
            .since("2.8.0")
            .flag(LOOKING),
        Command::new("NUMSUB", "[channel [channel ...]]", numsub)
            .summary("Answers how many listen to each of the channels by its name.")
            .since("2.8.0")
            .complexity("O(N) for N channels")
            .flag(LOOKING),
        Command::new("SHARDCHANNELS", "[pattern]", shardchannels)
            .summary("Answers the shard channels that somebody listens to.")
            .since("7.0.0")
            .complexity("O(N) for N channels")
            .flag(LOOKING),
        Command::new("SHARDNUMSUB", "[shardchannel [shardchannel ...]]", shardnumsub)
            .summary("Answers how many listen to each of the shard channels.")
            .since("7.0.0")
            .complexity("O(N) for N channels")
            .flag(LOOKING),
    ],
);

fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(super::text::wrong_arity("pubsub"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("pubsub"))
}

fn subscribe(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    begin(ctx, Space::Channel, b"subscribe", args)
}

fn psubscribe(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    begin(ctx, Space::Pattern, b"psubscribe", args)
}

fn ssubscribe(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    begin(ctx, Space::Shard, b"ssubscribe", args)
}

fn unsubscribe(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    end(ctx, Space::Channel, b"unsubscribe", args)
}

fn punsubscribe(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    end(ctx, Space::Pattern, b"punsubscribe", args)
}

fn sunsubscribe(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    end(ctx, Space::Shard, b"sunsubscribe", args)
}

/// Subscribes to each name, and confirms each by a message.
fn begin(ctx: &mut Context<'_, '_>, space: Space, kind: &[u8], args: Args<'_>) -> Outcome {
    for name in args.rest() {
        ctx.session.subscribe(ctx.node, space, name);
        // Whoever takes the right away ends those who listen afterwards: one of the two sees the other.
        if !ctx.session.account.user().allows_channel(name, space == Space::Pattern) {
            ctx.session.client.kill();
        }
        confirm(ctx, space, kind, Some(name));
    }
    Err(Stop::Written)
}

/// Ends subscriptions to the names, or to all of that kind.
fn end(ctx: &mut Context<'_, '_>, space: Space, kind: &[u8], args: Args<'_>) -> Outcome {
    if !args.is_empty() {
        for name in args.rest() {
            ctx.session.unsubscribe(ctx.node, space, name, ctx.out);
            confirm(ctx, space, kind, Some(name));
        }
        return Err(Stop::Written);
    }
    let names = ctx.session.subscriptions(space).clone();
    if names.is_empty() {
        confirm(ctx, space, kind, None);
    }
    for name in names {
        ctx.session.unsubscribe(ctx.node, space, &name, ctx.out);
        confirm(ctx, space, kind, Some(&name));
    }
    Err(Stop::Written)
}

fn confirm(ctx: &mut Context<'_, '_>, space: Space, kind: &[u8], name: Option<&[u8]>) {
    let count = ctx.session.subscription_count(space);
    let name = name.map_or(Reply::Null, Reply::bulk);
    Reply::Push(vec![Reply::bulk(kind), name, Reply::from(count)]).write(ctx.out);
    ctx.session.push();
}

fn publish(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    send(ctx, args, false)
}

fn spublish(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    send(ctx, args, true)
}

fn send(ctx: &mut Context<'_, '_>, mut args: Args<'_>, to_shard: bool) -> Outcome {
    let (channel, message) = (args.word()?, args.word()?);
    let space = if to_shard { Space::Shard } else { Space::Channel };
    let reached = ctx.node.pubsub.reach(space, channel);
    if reached > 0 {
        let (channel, message) = (Bytes::copy_from_slice(channel), Bytes::copy_from_slice(message));
        ctx.aside().effects.push(match to_shard {
            true => Effect::ShardMessage { channel, message },
            false => Effect::Message { channel, message },
        });
    }
    Ok(Reply::from(reached))
}

fn channels(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    names(ctx, Space::Channel, args)
}

fn shardchannels(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    names(ctx, Space::Shard, args)
}

fn names(ctx: &mut Context<'_, '_>, space: Space, mut args: Args<'_>) -> Outcome {
    let pattern = args.optional();
    if !args.is_empty() {
        let name = if space == Space::Shard { b"SHARDCHANNELS" as &[u8] } else { b"CHANNELS" };
        let before = "ERR unknown subcommand or wrong number of arguments for '";
        return Err(Stop::repeating(before, name, "'. Try PUBSUB HELP."));
    }
    let names = ctx.node.pubsub.channels(space, pattern);
    Ok(Reply::Array(names.into_iter().map(Reply::Bulk).collect()))
}

fn numsub(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    counts(ctx, Space::Channel, args)
}

fn shardnumsub(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    counts(ctx, Space::Shard, args)
}

fn counts(ctx: &mut Context<'_, '_>, space: Space, args: Args<'_>) -> Outcome {
    let of = |name| [Reply::bulk(name), Reply::from(ctx.node.pubsub.listeners(space, name))];
    Ok(Reply::Array(args.rest().flat_map(of).collect()))
}

fn numpat(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::from(ctx.node.pubsub.count(Space::Pattern)))
}
