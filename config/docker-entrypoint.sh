#!/bin/sh
# Gives /data to the server's user and becomes the server, or whatever command was asked for. A script rather than part
# of the program: the program then never holds root's rights, not even to give them up.
#
# SKIP_FIX_PERMS=1 leaves the owners in /data alone, SKIP_DROP_PRIVS=1 leaves the server to root, as with Redis's image.
set -eu

# Arguments of the server, or its configuration file, without the name of a command: `docker run IMAGE --port 7000`.
case "${1-}" in
    '' | -* | *.conf) set -- caskade "$@" ;;
esac

if { [ "$1" = caskade ] || [ "$1" = redis-server ]; } && [ "$(id -u)" = 0 ] && [ "${SKIP_DROP_PRIVS-}" != 1 ]; then
    as_server() { setpriv --reuid=caskade --regid=caskade --clear-groups "$@"; }
    if as_server true 2>/dev/null; then
        # Only the directory and its files, as the store has no directories of its own: a tree that was mounted by
        # mistake keeps its owners. On file systems that know no owners, the server may be able to write all the same.
        if [ "${SKIP_FIX_PERMS-}" != 1 ]; then
            find /data -maxdepth 1 \( -path /data -o -type f \) ! -user caskade -exec chown caskade:caskade {} + ||
                echo "docker-entrypoint: cannot give /data to user 999; going on" >&2
        fi
        # A secret that compose mounts belongs to its owner on the host, often to nobody else: root reads it then.
        for name in CASKADE_REQUIREPASS REDIS_PASSWORD; do
            file="$(printenv "${name}_FILE")" || continue
            if [ -z "$(printenv "$name")" ] && [ -r "$file" ] && ! as_server test -r "$file"; then
                secret="$(cat "$file")"
                [ -z "$secret" ] || { export "$name=$secret" && unset "${name}_FILE"; }
            fi
        done
        exec setpriv --reuid=caskade --regid=caskade --clear-groups --no-new-privs "$@"
    fi
    echo "docker-entrypoint: without CAP_SETUID and CAP_SETGID the server runs as root; --user 999:999 avoids it" >&2
fi

exec "$@"
