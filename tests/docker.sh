#!/usr/bin/env bash
# Builds the image and uses it as people do: the acceptance tests of Redis's and Valkey's own images, and more of what a
# container meets. Not a part of .ci/run, which has no Docker engine: run it by hand where one answers.
#
#     tests/docker.sh                     builds, then checks everything: two and a half minutes after the build, on two cores
#     tests/docker.sh IMAGE               checks an image that is there
#     tests/docker.sh IMAGE CHECK...      only these checks: the names of the functions below, without `check_`
#
# Needs an engine that gives containers addresses, and openssl. The compose file is tried where docker compose is.
# DOCKER_BUILD_OPTIONS are those of `docker build`, such as `--network host`.
#
# Every container, volume and network is named after this process and is removed at the end. The first check that fails
# ends it with 1 and shows the container's log.
# shellcheck disable=SC2317 # Functions that `eventually` calls.
set -euo pipefail
cd "$(dirname "$0")/.."

docker version >/dev/null || { echo "no Docker engine answers" >&2; exit 1; }
image="${1:-caskade}"
prefix="caskade-check-$$"
name="$prefix"
directory="$(mktemp -d)"
chmod 755 "$directory"
# What a shell, a compose file and a configuration file would each make something else of.
odd="two  words \"quoted\" 'so' \$HOME \${x} \\ #"

cleanup() {
    docker ps -aq --filter "name=$prefix" | xargs -r docker rm -fv >/dev/null
    docker volume ls -q --filter "name=$prefix" | xargs -r docker volume rm >/dev/null
    docker network ls -q --filter "name=$prefix" | xargs -r docker network rm >/dev/null
    docker image rm -f "$prefix-derived" >/dev/null 2>&1 || true
    # The container's user owns what is in it.
    docker run --rm -v "$directory:/mounted" --entrypoint sh "$image" -c 'rm -rf /mounted/*' || true
    rm -rf "$directory"
}
trap cleanup EXIT

fail() {
    echo "FAILED: $1" >&2
    docker logs --tail 50 "$name" >&2 || true
    exit 1
}

ok() { echo "ok: $1"; }

# equal WHAT WANTED FOUND
equal() {
    [ "$2" = "$3" ] || fail "$1: wanted '$2', found '$3'"
    ok "$1"
}

# contains WHAT WANTED TEXT
contains() {
    case "$3" in *"$2"*) ok "$1" ;; *) fail "$1: no '$2' in '$3'" ;; esac
}

# lacks WHAT UNWANTED TEXT
lacks() {
    case "$3" in *"$2"*) fail "$1: '$2' in '$3'" ;; *) ok "$1" ;; esac
}

# eventually WHAT COMMAND...: within 20 seconds
eventually() {
    local what="$1" until=$((SECONDS + 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || fail "$what"
        sleep 0.1
    done
    ok "$what"
}

cli() { docker exec "$name" redis-cli "$@"; }
# cli_as PASSWORD WORD...
cli_as() { docker exec -e REDISCLI_AUTH="$1" "$name" redis-cli "${@:2}"; }
setting() { cli "${@:2}" CONFIG GET "$1" | sed -n 2p; }
answers() { [ "$(cli "$@" PING)" = PONG ]; }
answers_as() { [ "$(cli_as "$1" PING)" = PONG ]; }
log() { docker logs "$name" 2>&1; }
health() { docker inspect --format '{{.State.Health.Status}}' "$name"; }
is_healthy() { [ "$(health)" = healthy ]; }
# The image's health check, without waiting for its turn.
is_well() { docker exec "$name" caskade healthcheck --pid 1; }
exit_code() { docker inspect --format '{{.State.ExitCode}}' "$name"; }
owner() { docker exec "$name" stat -c '%u:%g' "$1"; }
status() { docker exec "$name" awk "/^$1:/ { print \$2 }" /proc/1/status; }
address() { docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1" | cut -d ' ' -f 1; }
# other WORD...: a command in another container of the same network
other() { docker run --rm "$image" "$@"; }
# http PATH: the first line of what the metrics port answers to another container, and the rest
http() {
    other bash -c "exec 3<>/dev/tcp/$(address "$name")/9121 && printf 'GET $1 HTTP/1.0\r\n\r\n' >&3 && cat <&3"
}

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

# refused WHAT TEXT, after `start`: it ends by itself with 1 and says why
refused() {
    equal "$1: it does not start" 1 "$(timeout 20 docker wait "$name" || echo "nothing within 20 seconds")"
    contains "$1: the log says why" "$2" "$(log)"
}

# stopped WHAT: the container is told to stop, and ends by itself within ten seconds
stopped() {
    local began took
    began=$(date +%s%3N)
    docker stop -t 10 "$name" >/dev/null
    took=$(($(date +%s%3N) - began))
    equal "$1: it ends by itself, after $took ms" 0 "$(exit_code)"
    [ "$took" -lt 10000 ] || fail "$1: it took $took ms"
}

check_basics() {
    start -v "$prefix-data:/data" -p 127.0.0.1::6379 --ulimit memlock=0:0 --
    eventually "it answers" answers
    equal "SET from another container" OK "$(other redis-cli -h "$(address "$name")" SET greeting hello)"
    equal "GET" hello "$(cli GET greeting)"
    equal "the server is process 1" caskade "$(docker exec "$name" cat /proc/1/comm)"
    equal "user 999" 999 "$(status Uid)"
    equal "group 999" 999 "$(status Gid)"
    equal "no rights" 0000000000000000 "$(status CapEff)"
    equal "no rights can be gained again" 1 "$(status NoNewPrivs)"
    equal "the engine's filter of system calls" 2 "$(status Seccomp)"
    equal "its files belong to it" 999:999 "$(owner /data/MANIFEST)"
    equal "and to nobody else" 600 "$(docker exec "$name" stat -c %a /data/MANIFEST)"
    eventually "the engine calls it healthy" is_healthy
    contains "the health check says that there is no password" "without a password" "$(is_well)"
    contains "so does the log" "private networks only" "$(log)"
    lacks "nothing asks for sysctl, memlock or huge pages" WARN "$(log)"
    contains "metrics" redis_up "$(http /metrics)"
    contains "/healthz" "200 OK" "$(http /healthz)"
    contains "/readyz" "200 OK" "$(http /readyz)"
    contains "the page" "<html" "$(http /)"
    stopped "docker stop"
    contains "the log says so" "the log is written and synced" "$(log)"
    docker start "$name" >/dev/null
    eventually "it answers after docker start" answers
    equal "GET" hello "$(cli GET greeting)"
    docker rm -fv "$name" >/dev/null
    start -v "$prefix-data:/data" --
    eventually "another container with its volume answers" answers
    equal "GET" hello "$(cli GET greeting)"
}

check_arguments() {
    start -- --maxmemory 100mb --port 7000
    eventually "--maxmemory 100mb --port 7000" answers -p 7000
    equal "is in force" 104857600 "$(setting maxmemory -p 7000)"
    eventually "its health check follows the port" is_well
    start -- redis-server --port 7000 --requirepass secret --appendonly yes
    eventually "redis-server --port 7000 --requirepass ..." answers -p 7000 -a secret --no-auth-warning
    equal "it is user 999, too" 999 "$(status Uid)"
    eventually "its health check knows the password" is_well
    printf 'port 7001\nsave 60 1000\nprotected-mode no\nallow-open-access yes\nmaxmemory 50mb\n' >"$directory/test.conf"
    start -v "$directory/test.conf:/test.conf:ro" -- ../test.conf --maxmemory 60mb
    eventually "a file, and arguments after it" answers -p 7001
    equal "the argument wins over the file" 62914560 "$(setting maxmemory -p 7001)"
    equal "the file wins over the image" no "$(setting protected-mode -p 7001)"
    equal "the image over the program" /data "$(setting dir -p 7001)"
    start -v "$directory/test.conf:/etc/redis.conf:ro" -- redis-server /etc/redis.conf
    eventually "redis-server /etc/redis.conf" answers -p 7001
    start -- --port 0 --unixsocket /data/caskade.sock
    eventually "a Unix socket alone" answers -s /data/caskade.sock
    eventually "its health check follows the socket" is_well
    contains "--version" "caskade v=" "$(other --version)"
    contains "redis-cli --version" "redis-cli " "$(other redis-cli --version)"
    # shellcheck disable=SC2016 # The shell in the container expands it.
    equal "sh -c, with the user it was started with" "hello 0" "$(other sh -c 'echo hello $(id -u)')"
    if other --prot 7000 2>"$directory/error"; then fail "a wrong argument was accepted"; fi
    contains "a wrong argument" "did you mean --port?" "$(cat "$directory/error")"
}

check_derived_image() {
    mkdir "$directory/derived"
    printf 'save 60 1000\n' >"$directory/derived/test.conf"
    printf 'FROM %s\nCOPY test.conf /\nCMD ["../test.conf", "--appendonly", "yes"]\n' "$image" >"$directory/derived/Dockerfile"
    docker build -q -t "$prefix-derived" "$directory/derived" >/dev/null 2>&1
    docker rm -fv "$name" >/dev/null 2>&1 || true
    docker run -d --name "$name" "$prefix-derived" >/dev/null
    eventually "it answers" answers
    equal "save of the file" "60 1000" "$(setting save)"
    equal "appendonly of the arguments" yes "$(setting appendonly)"
}

check_environment() {
    start -e CASKADE_MAXMEMORY=70mb -e CASKADE_MAXMEMORY_POLICY=allkeys-lfu -e CASKADE_PORT=tcp://10.0.0.1:6379 --
    eventually "variables" answers
    equal "CASKADE_MAXMEMORY" 73400320 "$(setting maxmemory)"
    equal "CASKADE_MAXMEMORY_POLICY" allkeys-lfu "$(setting maxmemory-policy)"
    start -e CASKADE_EXTRA_FLAGS="--maxmemory 80mb --requirepass \"two  words\" --save ''" -e CASKADE_MAXMEMORY=70mb -- \
        --maxmemory 60mb
    eventually "CASKADE_EXTRA_FLAGS, with quotes" answers_as "two  words"
    equal "it wins" $'maxmemory\n83886080' "$(cli_as "two  words" CONFIG GET maxmemory)"
    eventually "the health check knows it" is_well
    start -e CASKADE_EXTRA_FLAGS="--maxmemroy 80mb" --
    refused "a slip in CASKADE_EXTRA_FLAGS" "CASKADE_EXTRA_FLAGS: --maxmemroy: unknown directive; did you mean --maxmemory?"
    start -- /etc/caskade/cache.conf --maxmemory 90mb
    eventually "the cache's profile" answers
    equal "its policy" allkeys-lru "$(setting maxmemory-policy)"
    equal "its appendfsync" no "$(setting appendfsync)"
    equal "the argument beside it" 94371840 "$(setting maxmemory)"
    equal "the image's own stays" /data "$(setting dir)"
    contains "metrics" redis_up "$(http /metrics)"
    start -e CASKADE_EXTRA_FLAGS="--include /etc/caskade/cache.conf" -e CASKADE_MAXMEMORY=90mb --
    eventually "the same by the environment" answers
    equal "its policy" allkeys-lru "$(setting maxmemory-policy)"
    equal "the variable beside it" 94371840 "$(setting maxmemory)"
}

# has_password WHAT PASSWORD, after `start`
has_password() {
    eventually "$1: it answers" answers_as "$2"
    contains "$1: nobody comes in without it" NOAUTH "$(cli PING)"
    is_well >/dev/null || fail "$1: the health check does not know it"
    lacks "$1: the health check has nothing to say" "without a password" "$(is_well)"
    lacks "$1: it is not in the log" "$2" "$(log)"
    lacks "$1: it is not among the arguments" "$2" "$(docker exec "$name" cat /proc/1/cmdline | tr '\0' ' ')"
}

check_passwords() {
    local variable file="$directory/password"
    printf '%s\n' "$odd" >"$file"
    chmod 644 "$file"
    for variable in CASKADE_REQUIREPASS REDIS_PASSWORD; do
        start -e "$variable=$odd" --
        has_password "$variable" "$odd"
        start -e "${variable}_FILE=/run/secrets/it" -e "$variable=" -v "$file:/run/secrets/it:ro" --
        has_password "${variable}_FILE" "$odd"
        start -e "${variable}_FILE=/run/secrets/it" -e "$variable=other" -v "$file:/run/secrets/it:ro" --
        refused "$variable in both forms" "$variable and ${variable}_FILE are both set"
        start -e "${variable}_FILE=/nosuch" --
        refused "${variable}_FILE without a file" "cannot read /nosuch: No such file"
        printf '\n' >"$directory/empty"
        start -e "${variable}_FILE=/run/secrets/it" -v "$directory/empty:/run/secrets/it:ro" --
        refused "${variable}_FILE without a password" "the file /run/secrets/it is empty"
    done
    start -e CASKADE_PASSWORD=x --
    refused "a variable that is none" "the password is CASKADE_REQUIREPASS or CASKADE_REQUIREPASS_FILE"
    start -e CASKADE_REQUIREPASS=ours -e REDIS_PASSWORD=theirs --
    has_password "of both names ours wins" ours
    contains "and the log says so" "REDIS_PASSWORD ignored" "$(log)"

    docker run --rm -v "$directory:/mounted" "$image" sh -c 'chown 0:0 /mounted/password && chmod 400 /mounted/password'
    start -e CASKADE_REQUIREPASS_FILE=/run/secrets/it -v "$file:/run/secrets/it:ro" --
    has_password "a file that root alone may read" "$odd"
    start --user 999:999 -e CASKADE_REQUIREPASS_FILE=/run/secrets/it -v "$file:/run/secrets/it:ro" --
    refused "without root" "cannot read /run/secrets/it: Permission denied"

    mkdir "$directory/conf" && printf 'requirepass kept\n' >"$directory/conf/caskade.conf"
    chmod -R go+rwX "$directory/conf"
    start -e CASKADE_REQUIREPASS= -e REDIS_PASSWORD= -v "$directory/conf:/conf" -- /conf/caskade.conf
    has_password "empty variables take no password of a file away" kept
    start -e CASKADE_REQUIREPASS=hidden-one -v "$directory/conf:/conf" -- /conf/caskade.conf
    has_password "the variable wins over the file" hidden-one
    equal "CONFIG SET" OK "$(cli_as hidden-one CONFIG SET timeout 77)"
    equal "CONFIG REWRITE" OK "$(cli_as hidden-one CONFIG REWRITE)"
    contains "it wrote" "timeout 77" "$(docker exec "$name" cat /conf/caskade.conf)"
    lacks "but not the password" hidden "$(docker exec "$name" cat /conf/caskade.conf)"
    start -e CASKADE_REQUIREPASS= --
    eventually "an empty variable alone is no password" answers
    contains "and the log says so" "CASKADE_REQUIREPASS ignored: it is empty" "$(log)"
}

check_protected_mode() {
    docker network create --subnet 203.0.113.0/24 "$prefix-public" >/dev/null
    local public=(docker run --rm --network "$prefix-public" "$image" redis-cli)
    start --network "$prefix-public" --
    eventually "it answers its own machine" answers
    contains "a public address is refused" DENIED "$("${public[@]}" -h "$(address "$name")" PING 2>&1)"
    docker network connect bridge "$name"
    local private
    private="$(docker inspect --format '{{.NetworkSettings.Networks.bridge.IPAddress}}' "$name")"
    equal "a private one is not" PONG "$(other redis-cli -h "$private" PING)"
    equal "CONFIG SET" OK "$(cli CONFIG SET requirepass secret)"
    equal "with a password, everybody may ask" PONG \
        "$("${public[@]}" -h "$name" -a secret --no-auth-warning PING)"
    start --network "$prefix-public" -- --protected-mode no
    refused "without protection and password" "allow-open-access yes"
    start --network "$prefix-public" -- --protected-mode no --allow-open-access yes
    eventually "it answers who asked for that" answers
    equal "a public address, too" PONG "$("${public[@]}" -h "$name" PING)"
    contains "the log warns" "whoever reaches this port can read and change everything" "$(log)"
}

check_users_and_rights() {
    start --user 1234:1234 -v "$prefix-user:/data" --
    eventually "--user 1234:1234" answers
    equal "SET" OK "$(cli SET a 1)"
    equal "as that user" "1234 1234" "$(status Uid) $(status Gid)"
    eventually "it is well" is_well
    docker restart -t 10 "$name" >/dev/null
    eventually "it answers again" answers
    equal "GET" 1 "$(cli GET a)"

    start --read-only -v "$prefix-read-only:/data" --
    eventually "--read-only" answers
    equal "SET" OK "$(cli SET a 1)"
    eventually "it is well" is_well
    start --read-only --tmpfs /data --
    eventually "--read-only --tmpfs /data" answers
    equal "SET" OK "$(cli SET a 1)"

    start --cap-drop ALL -v "$prefix-capabilities:/data" --
    eventually "--cap-drop ALL" answers
    equal "SET" OK "$(cli SET a 1)"
    eventually "it is well" is_well
    docker restart -t 10 "$name" >/dev/null
    eventually "it answers again" answers
    equal "GET" 1 "$(cli GET a)"
    contains "the log names the way without root" "--user 999:999" "$(log)"

    start -e SKIP_DROP_PRIVS=1 --
    eventually "SKIP_DROP_PRIVS=1" answers
    equal "leaves it to root" 0 "$(status Uid)"
    start -e SKIP_FIX_PERMS=1 -v "$prefix-user:/data" --
    refused "SKIP_FIX_PERMS=1 leaves the owners of the files" "Permission denied"

    mkdir "$directory/mounted"
    start -v "$directory/mounted:/data" --
    eventually "a directory of the host that belongs to root" answers
    equal "SET" OK "$(cli SET a 1)"
    equal "it was given to the server" 999:999 "$(owner /data)"
    docker rm -fv "$name" >/dev/null
    mkdir "$directory/foreign"
    start --user 1234:1234 -v "$directory/foreign:/data" --
    refused "without root's rights" "user 1234, group 1234"

    start --init -- --port 7000
    eventually "--init" answers -p 7000
    eventually "it is well" is_well
    docker stop -t 10 "$name" >/dev/null
    contains "it ended by itself" "the log is written and synced" "$(log)"
}

# As config/kubernetes.yaml runs it; fsGroup gives volume and secret to the group.
check_as_a_pod() {
    printf 'secret' >"$directory/pod-secret"
    docker run --rm -v "$prefix-pod:/data" -v "$directory:/mounted" "$image" sh -c \
        'chown 0:999 /data /mounted/pod-secret && chmod 2770 /data && chmod 440 /mounted/pod-secret'
    start --user 999:999 --read-only --cap-drop ALL --security-opt no-new-privileges -v "$prefix-pod:/data" \
        -v "$directory/pod-secret:/run/secrets/caskade/password:ro" --memory 2g \
        -e CASKADE_REQUIREPASS_FILE=/run/secrets/caskade/password -e CASKADE_MAXMEMORY=1gb \
        -e CASKADE_SERVICE_HOST=10.96.0.1 -e CASKADE_PORT_6379_TCP_PORT=6379 --
    has_password "as a pod" secret
    equal "SET" OK "$(cli_as secret SET a 1)"
    contains "its liveness probe" "200 OK" "$(http /healthz)"
    contains "its readiness probe" "200 OK" "$(http /readyz)"
    stopped "the end of a pod"
}

# writers COMMAND: stops or kills the server while others write, and compares what they were told with what is there
writers() {
    local writer told
    mkdir -p "$directory/told"
    start -v "$prefix-$1:/data" --
    eventually "it answers" answers
    for writer in 1 2 3; do
        docker run -d --name "$prefix-writer-$writer" -v "$directory/told:/told" "$image" sh -c \
            "seq 10000000 | sed 's/.*/SET w$writer:& &/' | redis-cli -h $(address "$name") >/told/$writer" >/dev/null
    done
    docker run -d --name "$prefix-load" "$image" redis-benchmark -h "$(address "$name")" -q -t set,lpush,hset \
        -n 100000000 -r 1000000 -d 1000 -P 16 >/dev/null
    has_written() { [ "$(cli DBSIZE)" -gt 100000 ]; }
    eventually "they write" has_written
    "$@"
    docker rm -fv "$prefix-writer-1" "$prefix-writer-2" "$prefix-writer-3" "$prefix-load" >/dev/null
    docker start "$name" >/dev/null
    eventually "it answers again" answers
    for writer in 1 2 3; do
        told=$(grep -c '^OK' "$directory/told/$writer" || true)
        [ "$told" -gt 1000 ] || fail "only $told writes were acknowledged"
        seq "$told" | sed "s/.*/GET w$writer:&/" | docker exec -i "$name" redis-cli >"$directory/found"
        seq "$told" | cmp -s - "$directory/found" || fail "of $told acknowledged writes some are lost"
        ok "all $told writes that were acknowledged are there"
    done
    docker run --rm -v "$directory/told:/told" "$image" sh -c 'rm /told/*'
}

check_stop_under_load() { writers stopped "docker stop"; }

check_kill_under_load() { writers docker kill "$name"; }

check_stop_while_loading() {
    local keys
    start -v "$prefix-loading:/data" --
    eventually "it answers" answers
    docker exec "$name" redis-benchmark -q -t set -n 1500000 -r 1000000000 -d 10 -P 64 >/dev/null
    keys="$(cli DBSIZE)"
    stopped "docker stop"
    # Without them the log itself is read, which takes longer; as does a tenth of a processor.
    docker run --rm -v "$prefix-loading:/data" "$image" sh -c 'rm -f /data/*.hint'
    start --cpus 0.1 -v "$prefix-loading:/data" --
    loads() { [[ "$(other redis-cli -h "$(address "$name")" PING 2>&1)" = LOADING* ]]; }
    eventually "it says that it loads" loads
    contains "/healthz" "200 OK" "$(http /healthz)"
    contains "/readyz" " 503 " "$(http /readyz)"
    stopped "docker stop while it loads"
    lacks "it had not loaded all" "Ready to accept connections" "$(log)"
    start -v "$prefix-loading:/data" --
    eventually "it answers" answers
    equal "all keys are there" "$keys" "$(cli DBSIZE)"
}

check_memory() {
    local limit maxmemory count bytes bound written
    while read -r limit maxmemory count bytes bound; do
        start --memory "$limit" --memory-swap "$limit" -v "$prefix-memory-$limit:/data" -- --maxmemory "$maxmemory"
        eventually "--memory $limit" answers
        docker run --rm "$image" redis-benchmark -h "$(address "$name")" -q -t set -n "$count" -r 100000000 -d "$bytes" \
            >/dev/null || fail "$((count * bytes / 1000000)) MB could not be written"
        equal "$((count * bytes / 1000000)) MB are written, and it was not killed" "true false" \
            "$(docker inspect --format '{{.State.Running}} {{.State.OOMKilled}}' "$name")"
        written="$(cli DBSIZE)"
        [ "$written" -gt $((count * 99 / 100)) ] || fail "only $written keys"
        fits() { [ "$(status VmRSS)" -lt $((bound * 1024)) ]; }
        eventually "it stays under $bound MB" fits
        equal "a value is whole" "$bytes" "$(cli STRLEN "$(cli RANDOMKEY)")"
        docker restart -t 10 "$name" >/dev/null
        eventually "it answers again" answers
        equal "all keys are there" "$written" "$(cli DBSIZE)"
    done <<'LIMITS'
256m 64mb 40000 16000 160
128m 32mb 200000 1000 110
64m 16mb 20000 100 60
LIMITS
}

check_tls() {
    local tls="$directory/tls"
    mkdir "$tls"
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=authority -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=caskade -keyout "$tls/key.pem" -out "$tls/request.pem" 2>/dev/null
    printf 'subjectAltName=DNS:localhost\n' >"$tls/names"
    openssl x509 -req -in "$tls/request.pem" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 1 \
        -extfile "$tls/names" -out "$tls/cert.pem" 2>/dev/null
    chmod 644 "$tls"/*
    start -v "$tls:/tls:ro" -- --tls-port 6379 --port 0 --tls-cert-file /tls/cert.pem --tls-key-file /tls/key.pem \
        --tls-ca-cert-file /tls/ca.pem
    eventually "with a certificate" answers --tls --cacert /tls/ca.pem --cert /tls/cert.pem --key /tls/key.pem
    if answers --tls --cacert /tls/ca.pem 2>/dev/null; then fail "without a certificate, it answers"; fi
    eventually "it is well" is_well
}

check_compose() {
    local compose=(docker compose)
    docker compose version >/dev/null 2>&1 || compose=(docker-compose)
    if ! "${compose[@]}" version >/dev/null 2>&1; then
        echo "skipped: no docker compose"
        return
    fi
    mkdir "$directory/compose"
    (umask 077 && head -c 24 /dev/urandom | base64 >"$directory/compose/caskade-password.txt")
    # Any free ports of the host: those of the file may be taken.
    sed -e "s|image: caskade|image: $image|" -e 's|"127.0.0.1:[0-9]*:|"127.0.0.1::|' config/compose.yaml \
        >"$directory/compose/compose.yaml"
    compose+=(-p "$prefix-compose" -f "$directory/compose/compose.yaml")
    docker rm -fv "$name" >/dev/null 2>&1 || true
    "${compose[@]}" up -d >/dev/null 2>&1 || fail "docker compose up"
    local name
    name="$("${compose[@]}" ps -q)"
    has_password "as a service" "$(cat "$directory/compose/caskade-password.txt")"
    eventually "the engine calls it healthy" is_healthy
    local password
    password="$(cat "$directory/compose/caskade-password.txt")"
    equal "its policy" $'maxmemory-policy\nallkeys-lru' "$(cli_as "$password" CONFIG GET maxmemory-policy)"
    equal "its memory" $'maxmemory\n536870912' "$(cli_as "$password" CONFIG GET maxmemory)"
    equal "SET" OK "$(cli_as "$password" SET greeting hello)"
    "${compose[@]}" down >/dev/null 2>&1
    "${compose[@]}" up -d >/dev/null 2>&1
    name="$("${compose[@]}" ps -q)"
    eventually "after down and up" answers_as "$password"
    equal "GET" hello "$(cli_as "$password" GET greeting)"
    "${compose[@]}" down -v >/dev/null 2>&1
}

if [ $# = 0 ]; then
    printf '\n== build\n'
    # shellcheck disable=SC2086 # Several options, such as `--network host`, are several words.
    docker build ${DOCKER_BUILD_OPTIONS:-} -t "$image" .
fi
if [ $# -gt 1 ]; then
    checks=("${@:2}")
else
    mapfile -t checks < <(declare -F | sed -n 's/^declare -f check_//p')
fi
for check in "${checks[@]}"; do
    printf '\n== %s (%s s)\n' "${check//_/ }" "$SECONDS"
    "check_$check"
done

printf '\nAll checks passed, after %s seconds.\n' "$SECONDS"
