//! Elements at random: what was drawn once is not drawn anew while its values are fetched, and how many may be asked for.

use super::*;

/// How often a request was attempted until it was done, and its reply.
fn attempts(bench: &Bench, session: &mut Session, line: &str) -> (usize, String) {
    let (mut batch, mut prepared) = (Batch::begin(&bench.node), Prepared::default());
    for attempts in 1.. {
        match bench.attempt(session, &mut batch, line, Some(&prepared)) {
            (Executed::Done, reply) => return (attempts, reply),
            (Executed::Cold(cold), _) => {
                // While values come back, memory is full: what is fetched is not kept.
                bench.demote();
                bench.keyspace().set_memory_limit(1);
                bench.keyspace().govern(0);
                cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(bench.keyspace())));
                bench.keyspace().set_memory_limit(0);
                bench.keyspace().govern(0);
            }
            (other, _) => panic!("{line}: {other:?}"),
        }
    }
    unreachable!("it is done at last")
}

#[test]
fn fields_that_were_drawn_are_those_that_are_fetched() {
    let bench = Bench::new();
    let mut session = bench.session();
    for number in 0..400 {
        bench.run(&mut session, &format!("HSET hash field:{number} {}", format!("value:{number}:").repeat(20)));
    }
    for line in ["HRANDFIELD hash 1 WITHVALUES", "HRANDFIELD hash 5 WITHVALUES", "HRANDFIELD hash -5 WITHVALUES"] {
        bench.demote();
        let (attempts, reply) = attempts(&bench, &mut session, line);
        assert_eq!(attempts, 2, "{line}: {reply}");
    }
    bench.demote();
    for line in ["MULTI", "HRANDFIELD hash 3 WITHVALUES", "HSET hash field:0 0", "HRANDFIELD hash -3 WITHVALUES"] {
        bench.run(&mut session, line);
    }
    let (attempts, reply) = attempts(&bench, &mut session, "EXEC");
    assert!(attempts <= 3 && reply.starts_with("*3\r\n*6\r\n"), "{attempts}: {reply}");
}

#[test]
fn a_reply_that_memory_has_no_room_for_is_refused() {
    let bench = Bench::new();
    let mut session = bench.session();
    for line in ["HSET hash field value", "SADD set member", "ZADD zset 1 member"] {
        bench.run(&mut session, line);
    }
    for line in [
        "HRANDFIELD hash -1000000000",
        "HRANDFIELD hash -1000000000 WITHVALUES",
        "HRANDFIELD hash -4611686018427387903 WITHVALUES",
        "SRANDMEMBER set -1000000000",
        "SRANDMEMBER set -9223372036854775807",
        "ZRANDMEMBER zset -1000000000",
        "ZRANDMEMBER zset -4611686018427387903 WITHSCORES",
    ] {
        assert_eq!(bench.run(&mut session, line), "-ERR value is out of range\r\n", "{line}");
    }
    let reply = bench.run(&mut session, "SRANDMEMBER set -1000");
    assert!(reply.starts_with("*1000\r\n$6\r\nmember\r\n"), "{reply}");
}
