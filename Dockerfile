# Two stages: the first compiles with Rust's official image, the second is Debian with the program in it. glibc, since
# musl's allocator and threads cost a multiple under load.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# The dependencies are a layer of their own, compiled for an empty program, so that a change of the source does not
# compile them again. What names further targets is left out of the manifest, as their files are not there.
COPY Cargo.toml Cargo.lock ./
RUN cp Cargo.toml Cargo.toml.whole \
    && awk '/^\[/ { skip = /^\[\[/ } !skip' Cargo.toml.whole > Cargo.toml \
    && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin caskade \
    && rm -r src target/release/caskade target/release/deps/*caskade*

COPY . .
# Cargo goes by the time of a file, and those of a checkout may be older than the empty program's.
RUN find src -name '*.rs' -exec touch {} + && cargo build --release --locked --bin caskade

FROM ${DEBIAN_IMAGE}

# The ids of Redis's official image, so that volumes can be taken over. Before the packages, whose users would take them.
RUN groupadd --system --gid 999 caskade \
    && useradd --system --uid 999 --gid 999 --home-dir /data --no-create-home --shell /usr/sbin/nologin caskade

# redis-cli and redis-benchmark: compose files and people call them.
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-tools \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /build/target/release/caskade /usr/local/bin/caskade
COPY config/docker-entrypoint.sh /usr/local/bin/
COPY config/container.conf config/cache.conf config/caskade.conf /etc/caskade/
# Scripts written for Redis's image call the server by its name. Anybody may write into /data, which belongs to the
# container alone: so `--user` and `--cap-drop ALL` work with a fresh volume.
RUN ln -s caskade /usr/local/bin/redis-server \
    && mkdir /data && chown caskade:caskade /data && chmod 1777 /data

# The image's own defaults; files, variables and arguments of whoever runs it win over them.
ENV CASKADE_DEFAULTS=/etc/caskade/container.conf
VOLUME /data
WORKDIR /data
# Clients, and those who watch: Prometheus at /metrics, people at /.
EXPOSE 6379 9121
# Ready is who has loaded all keys, which takes a while after a restart with many.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 CMD ["caskade", "healthcheck", "--pid", "1"]
# The server is process 1 and handles SIGTERM itself; it starts no others, so there is nothing for an init to reap.
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["caskade"]
