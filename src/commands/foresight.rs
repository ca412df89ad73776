//! What requests further on in a pipeline will have to fetch from the disk, so that it is fetched together with what the one at
//! hand needs.
//!
//! Always true: nothing here has an effect, is counted, or is seen by anybody; whoever guesses wrongly has read in vain.

use super::dispatch::arguments;
use super::permissions;
use super::registry::{Registry, Row};
use super::table::Flags;
use super::{Context, Stop};
use crate::keyspace::{Cold, Mode};
use crate::node::{Node, Session};
use crate::protocol::{Arguments, ReplyBuffer};

/// The values that a request would ask for if it ran now, as far as that can be told; `asking` is a request before it that has
/// asked for some.
pub fn foresee<'k>(
    node: &'k Node,
    registry: &'k Registry,
    session: &mut Session,
    out: &mut ReplyBuffer,
    (row, words): (&'k Row, Arguments<'_>),
    asking: (&Row, Arguments<'_>),
    now: u64,
) -> Vec<Cold> {
    let Some(keyspace) = node.keyspace() else { return Vec::new() };
    let reads = row.is(Flags::READONLY);
    // What changes something must not run for this. One that says the same as a request that needed the value needs it, too.
    let resembles = row.index == asking.0.index && words.len() == asking.1.len();
    let is_plain = !row.is(Flags::TRANSACTION) && row.keys(words).next().is_some();
    if !is_plain || !(reads || resembles) || session.transaction.is_some() {
        return Vec::new();
    }
    if permissions::check(&session.account, row, words).is_err() {
        return Vec::new();
    }
    let mut access = keyspace.access_several(session.database, row.keys(words), Mode::Shared, now);
    (access.counts, access.touches) = (false, false);
    if !reads {
        return row.keys(words).filter_map(|key| access.cold(key)).collect();
    }
    let mark = out.mark();
    let mut ctx = Context {
        node,
        registry,
        session,
        out,
        access: Some(&mut access),
        in_transaction: false,
        finished: None,
        aside: None,
    };
    let outcome = (row.command.handler)(&mut ctx, arguments(row, words));
    out.rewind(mark);
    if let Err(Stop::Cold(cold)) = outcome { cold } else { Vec::new() }
}
