#!/usr/bin/env bash
# Builds the image and uses it as people do. Run by hand, where a Docker engine runs:
#
#     tests/docker.sh            builds, then checks
#     tests/docker.sh IMAGE      checks an image that is there
#
# Every container and volume is named after this process and is removed at the end. The first check that fails ends it
# with 1 and shows the container's log.
set -euo pipefail
cd "$(dirname "$0")/.."

docker version >/dev/null || { echo "no Docker engine answers" >&2; exit 1; }
image="${1:-caskade}"
prefix="caskade-check-$$"
name="$prefix"
directory="$(mktemp -d)"

cleanup() {
    docker ps -aq --filter "name=$prefix" | xargs -r docker rm -fv >/dev/null
    docker volume ls -q --filter "name=$prefix" | xargs -r docker volume rm >/dev/null
    # The container's user owns what is in it.
    docker run --rm -v "$directory:/mounted" --entrypoint sh "$image" -c 'rm -rf /mounted/*' || true
    rm -rf "$directory"
}
trap cleanup EXIT

fail() {
    echo "FAILED: $1" >&2
    docker logs "$name" >&2 || true
    exit 1
}

check() { printf '\n== %s\n' "$1"; }

# equal WHAT WANTED FOUND
equal() {
    [ "$2" = "$3" ] || fail "$1: wanted '$2', found '$3'"
    echo "ok: $1"
}

# contains WHAT WANTED TEXT
contains() {
    case "$3" in *"$2"*) echo "ok: $1" ;; *) fail "$1: no '$2' in '$3'" ;; esac
}

# eventually WHAT COMMAND...: within 20 seconds
eventually() {
    local what="$1" attempt
    shift
    for attempt in $(seq 200); do
        if "$@" >/dev/null 2>&1; then
            echo "ok: $what"
            return
        fi
        sleep 0.1
    done
    fail "$what"
}

cli() { docker exec "$name" redis-cli "$@"; }
answers() { [ "$(cli "$@" PING)" = PONG ]; }
health() { docker inspect --format '{{.State.Health.Status}}' "$name"; }
is_healthy() { [ "$(health)" = healthy ]; }
owner() { docker exec "$name" stat -c '%u:%g' "$1"; }
server_ids() { docker exec "$name" awk '/^[UG]id/ { printf "%s ", $2 }' /proc/1/status; }

# start [DOCKER OPTION...] -- [ARGUMENT...]: a container in the place of the last one
start() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    docker rm -fv "$name" >/dev/null 2>&1 || true
    docker run -d --name "$name" "${options[@]}" "$image" "$@" >/dev/null
}

if [ $# = 0 ]; then
    check "build"
    # shellcheck disable=SC2086 # Several options, such as `--network host`, are several words.
    docker build ${DOCKER_BUILD_OPTIONS:-} -t "$image" .
fi

check "SET, docker stop, docker start, GET"
start -v "$prefix-data:/data" -p 127.0.0.1::6379 --
eventually "it answers" answers
equal "SET" OK "$(cli SET greeting hello)"
equal "the server is process 1, user and group 999" "999 999 " "$(server_ids)"
equal "its files belong to it" 999:999 "$(owner /data/MANIFEST)"
equal "no rights can be gained again" 1 "$(docker exec "$name" awk '/^NoNewPrivs/ { print $2 }' /proc/1/status)"
eventually "it becomes healthy" is_healthy
began=$(date +%s)
docker stop -t 10 "$name" >/dev/null
[ $(($(date +%s) - began)) -lt 8 ] || fail "docker stop had to kill it"
equal "it ended by itself" 0 "$(docker inspect --format '{{.State.ExitCode}}' "$name")"
contains "and said so" "the log is written and synced" "$(docker logs "$name" 2>&1)"
docker start "$name" >/dev/null
eventually "it answers again" answers
equal "GET" hello "$(cli GET greeting)"

check "docker kill, docker start: nothing is lost"
equal "SET" OK "$(cli SET greeting "hello again")"
docker kill "$name" >/dev/null
docker start "$name" >/dev/null
eventually "it answers again" answers
equal "GET" "hello again" "$(cli GET greeting)"

check "from another container, without a password"
address="$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$name")"
published="$(docker port "$name" 6379/tcp | head -n 1)"
if [ -n "$address" ]; then
    equal "GET" "hello again" "$(docker run --rm "$image" redis-cli -h "$address" GET greeting)"
else
    echo "skipped: this engine gives containers no addresses"
fi
if command -v redis-cli >/dev/null && [ -n "$published" ]; then
    equal "GET from the host" "hello again" "$(redis-cli -h "${published%:*}" -p "${published##*:}" GET greeting)"
else
    echo "skipped: no redis-cli on this machine, or no published port"
fi
contains "the log says who may come in" "private networks only" "$(docker logs "$name" 2>&1)"

check "arguments, in every form"
start -- --maxmemory 100mb --port 7000
eventually "--maxmemory 100mb --port 7000" answers -p 7000
equal "is in force" $'maxmemory\n104857600' "$(cli -p 7000 CONFIG GET maxmemory)"
eventually "its health check follows the port" is_healthy
start -- redis-server --port 7000 --requirepass secret --appendonly yes
eventually "redis-server --port 7000 --requirepass ..." answers -p 7000 -a secret --no-auth-warning
equal "it is user 999, too" "999 999 " "$(server_ids)"
eventually "its health check knows the password" is_healthy
printf 'port 7001\nsave 60 1000\nprotected-mode no\nmaxmemory 50mb\n' >"$directory/test.conf"
start -v "$directory/test.conf:/test.conf:ro" -- ../test.conf --maxmemory 60mb
eventually "a file, and arguments after it" answers -p 7001
equal "the argument wins over the file" $'maxmemory\n62914560' "$(cli -p 7001 CONFIG GET maxmemory)"
equal "the file wins over the image" $'protected-mode\nno' "$(cli -p 7001 CONFIG GET protected-mode)"
equal "the image over the program" $'dir\n/data' "$(cli -p 7001 CONFIG GET dir)"
start -v "$directory/test.conf:/etc/redis.conf:ro" -- redis-server /etc/redis.conf
eventually "redis-server /etc/redis.conf" answers -p 7001
start -e CASKADE_MAXMEMORY=70mb -e CASKADE_PORT=tcp://10.0.0.1:6379 --
eventually "the environment" answers
equal "is in force" $'maxmemory\n73400320' "$(cli CONFIG GET maxmemory)"
start -- --port 0 --unixsocket /data/caskade.sock
eventually "a Unix socket alone" answers -s /data/caskade.sock
eventually "its health check follows the socket" is_healthy
contains "caskade --version" "caskade v=" "$(docker run --rm "$image" --version)"
contains "redis-cli --version" "redis-cli " "$(docker run --rm "$image" redis-cli --version)"
equal "another command keeps its user" 0 "$(docker run --rm "$image" id -u)"
if docker run --rm "$image" --prot 7000 2>"$directory/error"; then fail "a wrong argument was accepted"; fi
contains "a wrong argument" "did you mean --port?" "$(cat "$directory/error")"

check "docker run --init"
start --init -- --port 7000
eventually "it answers" answers -p 7000
eventually "it becomes healthy" is_healthy
docker stop -t 10 "$name" >/dev/null
contains "it ended by itself" "the log is written and synced" "$(docker logs "$name" 2>&1)"

check "docker run --user 1234:1234"
start --user 1234:1234 -v "$prefix-user:/data" --
eventually "it answers" answers
equal "SET" OK "$(cli SET a 1)"
equal "as that user" "1234 1234 " "$(server_ids)"
eventually "it becomes healthy" is_healthy
docker restart -t 10 "$name" >/dev/null
eventually "it answers again" answers
equal "GET" 1 "$(cli GET a)"

check "docker run --read-only"
start --read-only -v "$prefix-read-only:/data" --
eventually "it answers" answers
equal "SET" OK "$(cli SET a 1)"
eventually "it becomes healthy" is_healthy

check "docker run --cap-drop ALL"
start --cap-drop ALL -v "$prefix-capabilities:/data" --
eventually "it answers" answers
equal "SET" OK "$(cli SET a 1)"
eventually "it becomes healthy" is_healthy
docker restart -t 10 "$name" >/dev/null
eventually "it answers again" answers
equal "GET" 1 "$(cli GET a)"
contains "the log names the way without root" "--user 999:999" "$(docker logs "$name" 2>&1)"
start --cap-drop ALL --security-opt no-new-privileges --read-only --user 999:999 -v "$prefix-locked:/data" --
eventually "with everything locked, it answers" answers
equal "SET" OK "$(cli SET a 1)"

check "a directory of the host that belongs to root"
mkdir "$directory/mounted"
chmod 755 "$directory" "$directory/mounted"
start -v "$directory/mounted:/data" --
eventually "it answers" answers
equal "SET" OK "$(cli SET a 1)"
equal "it was given to the server" 999:999 "$(owner /data)"
docker rm -fv "$name" >/dev/null
mkdir "$directory/foreign"
start --user 1234:1234 -v "$directory/foreign:/data" --
equal "without root's rights it is refused" 1 "$(docker wait "$name")"
contains "and the log says who must own it" "user 1234, group 1234" "$(docker logs "$name" 2>&1)"

check "more values than the memory of the container"
start --memory 256m --memory-swap 256m -v "$prefix-memory:/data" -- --maxmemory 64mb
eventually "it answers" answers
docker exec "$name" redis-benchmark -q -t set -n 40000 -r 100000000 -d 16000 -P 8 >/dev/null ||
    fail "640 MB could not be written"
equal "it was not killed" "true false" "$(docker inspect --format '{{.State.Running}} {{.State.OOMKilled}}' "$name")"
written="$(cli DBSIZE)"
[ "$written" -gt 39000 ] || fail "only $written keys"
fits() { [ "$(docker exec "$name" awk '/^VmRSS/ { print $2 }' /proc/1/status)" -lt 163840 ]; }
eventually "it stays under 160 MB" fits
key="$(cli RANDOMKEY)"
equal "a value is whole" 16000 "$(cli STRLEN "$key")"
docker restart -t 10 "$name" >/dev/null
eventually "it answers again" answers
equal "all keys are there" "$written" "$(cli DBSIZE)"

printf '\nAll checks passed.\n'
