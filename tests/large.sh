#!/usr/bin/env bash
# Fills a hash, a set, a list and a sorted set with millions of elements each, and a field with a value of 100 MB, and
# checks them element by element: as they were written, after SIGTERM, after half of the elements were taken away and a
# quarter overwritten and that was compacted, after `kill -9`; then deletes them. It says how long each of it took, and fails
# where a process took more memory than stated in tests/suite/large.
#
#     tests/large.sh                       5,000,000 elements of each type, 100 MB
#     tests/large.sh 1000000 52428800      1,000,000 elements, 50 MB
#
# `maxmemory` is what names and states take and little more, so that values of hashes and lists are on the disk.
#
# CASKADE_TEST_SERVER names the server, which should be a release build; without it, target/release/caskade is built.
# It takes 3 GB of disk under TMPDIR, 1 GB of memory, and three to four minutes on two cores that do nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${CASKADE_TEST_SERVER:-}" ]; then
    cargo build --locked --quiet --release
    export CASKADE_TEST_SERVER="$PWD/target/release/caskade"
fi

began=$SECONDS
CASKADE_LARGE_ELEMENTS="${1:-5000000}" CASKADE_LARGE_VALUE_BYTES="${2:-104857600}" \
    cargo test --locked --quiet --test suite -- --nocapture --test-threads=1 large::
echo "-- it took $((SECONDS - began)) seconds"
