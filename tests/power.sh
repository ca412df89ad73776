#!/usr/bin/env bash
# Cuts the power of real file systems under the real server, and checks what is there when it is back.
#
#     tests/power.sh                 300 images
#     tests/power.sh 20              20 images
#     tests/power.sh 30 ext4 btrfs   30 images of these file systems
#
# An image of a file system lies in a file on XFS. While the server runs on it under load, the file is copied again
# and again with `cp --reflink=always`: such a copy is taken at one point between two writes to the device, and holds
# what the device had been told by then and nothing of what the kernel still had in memory. That is what a machine
# finds after a power cut, on a disk that writes in the order it is told to. Each copy is mounted, so that the file
# system replays its journal, and the server is started on it. Then it must hold:
#
# - with `appendfsync always`, all that was acknowledged before the copy was begun; with `everysec`, all but the last
#   two seconds of it;
# - transactions and MSETs whole or not at all, no key that was deleted, and of what was under way, for each
#   client, a beginning of what it had asked for.
#
# Segments are small and hardly any dead byte is left alone, so that compaction runs all the time. What follows each
# check goes on from what was found, so that later images are of directories that had lost their power before.
#
# At the end, the same runs on servers that break this promise, and the checks must notice: one with `everysec` that is
# judged as if it were `always`, and one whose syncs are swallowed on their way to the kernel (`strace -e inject`).
#
# It needs root, loop devices, mkfs.xfs, and strace for the last part; mkfs.ext4, mkfs.xfs and mkfs.btrfs for the file
# systems of the images. What is missing is said, and that part skipped. CASKADE_TEST_SERVER names the server, as for
# the other tests; CASKADE_POWER_DIRECTORY a directory on a disk with 12 GB of room, where everything is put and removed.
set -euo pipefail
cd "$(dirname "$0")/.."

images="${1:-300}"
shift || true
systems=("$@")
[ "${#systems[@]}" -gt 0 ] || systems=(ext4 xfs btrfs)

skip() {
    echo "skipped: $1"
    exit 0
}

[ "$(id -u)" = 0 ] || skip "only root may mount file systems"
for program in losetup mkfs.xfs mount umount; do
    command -v "$program" >/dev/null || skip "$program is not installed"
done

directory="$(mktemp -d "${CASKADE_POWER_DIRECTORY:-/tmp}/caskade-power-XXXXXX")"
outer="$directory/outer"

# Mounted below the directory, the last first.
mounted() { awk -v below="$directory/" 'index($2, below) == 1 { print $2 }' /proc/mounts | tac; }

cleanup() {
    local mount pid
    for mount in $(mounted); do
        # A server that was left behind says in its lock who it is; the number may be another's by now.
        pid="$(head -n 1 "$mount/data/LOCK" 2>/dev/null || true)"
        if [ -n "$pid" ] && grep -qaF "$mount/data" "/proc/$pid/cmdline" 2>/dev/null; then kill -9 "$pid"; fi
    done
    for mount in $(mounted); do
        umount "$mount" || umount -l "$mount" || true
    done
    rm -rf "$directory"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir "$outer"
truncate -s 12G "$directory/outer.img"
mkfs.xfs -q -m reflink=1 "$directory/outer.img"
mount -o loop,discard "$directory/outer.img" "$outer" 2>/dev/null || skip "no loop device can be mounted here"
echo | cat >"$outer/probe"
cp --reflink=always "$outer/probe" "$outer/probe-copy" || skip "this kernel's XFS cannot share blocks"

# run SYSTEM POLICY IMAGES: on an empty file system.
run() {
    local image="$outer/$1.img"
    rm -f "$image"
    truncate -s 1G "$image"
    "mkfs.$1" -q "$image" >/dev/null
    local began=$SECONDS
    echo "-- $1, appendfsync $2, $3 images"
    CASKADE_POWER_IMAGE="$image" CASKADE_POWER_POLICY="$2" CASKADE_POWER_IMAGES="$3" \
        cargo test --locked --quiet --test suite -- --exact --nocapture \
        durability::power::a_power_cut_loses_nothing_acknowledged
    echo "-- it took $((SECONDS - began)) seconds"
}

usable=()
for system in "${systems[@]}"; do
    if command -v "mkfs.$system" >/dev/null; then
        usable+=("$system")
    else
        echo "skipped: mkfs.$system is not installed"
    fi
done
[ "${#usable[@]}" -gt 0 ] || skip "there is no file system to cut the power of"

# Two thirds with `always`, the rest with `everysec`, the same number on each file system.
each=$(((images + ${#usable[@]} - 1) / ${#usable[@]}))
relaxed=$((each / 3))
for system in "${usable[@]}"; do
    run "$system" always $((each - relaxed))
    if [ "$relaxed" -gt 0 ]; then run "$system" everysec "$relaxed"; fi
done

echo "-- a server that syncs every second, judged as if it always did: that must be noticed"
CASKADE_POWER_LOSING=1 CASKADE_POWER_JUDGED=always run "${usable[0]}" everysec 5

if ! command -v strace >/dev/null; then
    skip "strace is not installed: whether the checks notice a server that syncs nothing was not tried"
fi
echo "-- a server whose syncs are swallowed: that must be noticed"
CASKADE_TEST_SERVER="${CASKADE_TEST_SERVER:-}"
if [ -z "$CASKADE_TEST_SERVER" ]; then
    cargo build --locked --quiet
    CASKADE_TEST_SERVER="$PWD/target/debug/caskade"
fi
cat >"$directory/losing" <<END
#!/bin/sh
exec strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:retval=0 \
    "$CASKADE_TEST_SERVER" "\$@"
END
chmod +x "$directory/losing"
CASKADE_POWER_LOSING=1 CASKADE_TEST_SERVER="$directory/losing" run "${usable[0]}" always 5
printf '\nNo image lacked anything that was acknowledged.\n'
