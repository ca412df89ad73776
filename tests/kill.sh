#!/usr/bin/env bash
# Kills the real server in the middle of 50 clients' work, again and again, and checks what is there when it is back.
#
#     tests/kill.sh         1000 kills
#     tests/kill.sh 90      90 kills
#
# Each appendfsync takes its turn. Segments are small and hardly any dead byte is left alone, so that compaction runs all
# the time; in each round it has made a pass before the `kill -9`, and some restarts are killed as well while they read
# the log. Then all that was acknowledged must be there, transactions and MSETs whole or not at all, no key that was
# deleted, and of what was under way, for each client, a beginning of what it had asked for. Ten rounds follow one another on
# the same directory.
#
# CASKADE_TEST_SERVER names the server, as for the other tests. A thousand take about twenty minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
CASKADE_KILL_ROUNDS="${1:-1000}" cargo test --locked --quiet --test suite -- --exact --nocapture \
    durability::kill::kill_9_loses_nothing_acknowledged
echo "-- it took $((SECONDS - began)) seconds"
