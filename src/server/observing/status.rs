//! What the page draws, as JSON.

use serde_json::{Value, json};

use super::Watched;
use super::facts::{Facts, Readiness};
use super::history::columns;
use crate::keyspace::Keyspace;
use crate::store::{DURATION_BOUNDS, SegmentPhase, SegmentStatus};

/// How many bars the segment map has at most: of more segments, neighbours share one.
const BARS_MAX: usize = 500;

/// Everything as of now, and the history after a moment.
pub(super) fn json(watched: &Watched, since: u64) -> String {
    let (node, registry) = (&watched.shared.node, &watched.shared.registry);
    let facts = Facts::now(node, registry);
    let settings = node.config.snapshot();
    let readiness = Readiness::of(node);
    let (loaded, to_load) = node.loading().progress();
    let whole = |field: &str| facts.whole(field);
    let number = |field: &str| facts.number(field);
    let commands: Vec<Value> = registry
        .rows()
        .iter()
        .map(|row| (&row.name, node.stats.commands.get(row.index)))
        .filter(|(_, counters)| counters.calls.get() > 0)
        .map(|(name, counters)| json!([name, counters.calls.get(), counters.nanoseconds.get() / 1000]))
        .collect();
    let mut status = json!({
        "version": facts.text("caskade_version"),
        "redis_version": facts.text("redis_version"),
        "now": node.wall_now(),
        "started": node.started(),
        "state": readiness.word(),
        "message": readiness.to_string(),
        "loading": [loaded, to_load],
        "fsync": settings.text("appendfsync"),
        "policy": settings.text("maxmemory-policy"),
        "tracks_latency": settings.latency_tracking,
        "clients": {
            "connected": whole("connected_clients"),
            "blocked": whole("blocked_clients"),
            "max": whole("maxclients"),
            "rejected": whole("rejected_connections"),
        },
        "memory": {
            "used": whole("used_memory"),
            "counted": whole("memory_counted"),
            "full": whole("memory_full"),
            "resident": whole("used_memory_rss"),
            "max": whole("maxmemory"),
            "system": whole("total_system_memory"),
        },
        "compaction": {
            "running": whole("compaction_running"),
            "passes": whole("compaction_passes"),
            "failed": whole("compaction_failed"),
            "last_seconds": number("compaction_last_seconds"),
        },
        "amplification": { "space": number("space_amplification"), "write": number("write_amplification") },
        "commands": commands,
        "columns": columns().collect::<Vec<_>>(),
        "samples": watched.history.since(since),
    });
    if let Some(keyspace) = node.keyspace() {
        status["log"] = log(keyspace, &facts);
        status["segments"] = segments(&keyspace.store().segments());
    }
    status.to_string()
}

fn log(keyspace: &Keyspace, facts: &Facts) -> Value {
    let store = keyspace.store();
    let waits = store.waits();
    json!({
        "disk": facts.whole("log_disk_bytes"),
        "live": facts.whole("log_live_bytes"),
        "dead": facts.whole("log_dead_bytes"),
        "retained": facts.whole("retained_bytes"),
        "segments": facts.whole("log_segments"),
        "damaged": facts.whole("compaction_damaged_segments"),
        // Where the system does not say, the page draws no limit.
        "free": store.free_space().ok(),
        "bounds": DURATION_BOUNDS,
        "syncs": waits.syncs.classes,
        "writes": waits.writes.classes,
    })
}

/// One row for each bar: the first id, how many segments, whether compaction wrote them, what happens, bytes of the files,
/// alive and dead, and when the first was begun.
fn segments(all: &[SegmentStatus]) -> Value {
    let together = all.len().div_ceil(BARS_MAX).max(1);
    all.chunks(together).map(bar).collect()
}

fn bar(segments: &[SegmentStatus]) -> Value {
    let sum = |of: fn(&SegmentStatus) -> u64| segments.iter().map(of).sum::<u64>();
    let (bytes, live) = (sum(|segment| segment.bytes), sum(|segment| segment.live));
    let phase = [SegmentPhase::Damaged, SegmentPhase::Compacting, SegmentPhase::Active, SegmentPhase::Sealed]
        .into_iter()
        .find(|phase| segments.iter().any(|segment| segment.phase == *phase));
    let word = match phase {
        Some(SegmentPhase::Damaged) => "damaged",
        Some(SegmentPhase::Compacting) => "compacting",
        Some(SegmentPhase::Active) => "active",
        Some(SegmentPhase::Sealed) => "sealed",
        Some(SegmentPhase::Ready) | None => "ready",
    };
    let is_compacted = segments.iter().all(|segment| segment.is_compacted);
    let created = segments.iter().map(|segment| segment.created).find(|created| *created > 0).unwrap_or(0);
    let disk = sum(|segment| segment.disk);
    json!([segments[0].id, segments.len(), u8::from(is_compacted), word, disk, live, bytes - live, created])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: u32, phase: SegmentPhase) -> SegmentStatus {
        SegmentStatus {
            id,
            is_compacted: id.is_multiple_of(2),
            phase,
            bytes: 100,
            live: 30,
            disk: 110,
            created: u64::from(id),
        }
    }

    #[test]
    fn of_many_segments_neighbours_share_a_bar_and_nothing_is_lost() {
        let few: Vec<_> = (1..=BARS_MAX as u32).map(|id| segment(id, SegmentPhase::Sealed)).collect();
        let bars = segments(&few);
        assert_eq!(bars.as_array().map(Vec::len), Some(BARS_MAX));
        assert_eq!(bars[0], json!([1, 1, 0, "sealed", 110, 30, 70, 1]));
        assert_eq!(bars[1], json!([2, 1, 1, "sealed", 110, 30, 70, 2]));
        let mut many: Vec<_> = (1..=BARS_MAX as u32 + 1).map(|id| segment(id, SegmentPhase::Sealed)).collect();
        many[1].phase = SegmentPhase::Compacting;
        let bars = segments(&many);
        assert_eq!(bars[0], json!([1, 2, 0, "compacting", 220, 60, 140, 1]));
        let sum: u64 = bars.as_array().expect("bars").iter().filter_map(|bar| bar[4].as_u64()).sum();
        assert_eq!(sum, 110 * (BARS_MAX as u64 + 1));
        assert_eq!(segments(&[]), json!([]));
    }
}
