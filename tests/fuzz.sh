#!/usr/bin/env bash
# Fuzzes every decoder.
#
#     tests/fuzz.sh 60                  each target for 60 seconds
#     tests/fuzz.sh 600 hint segment    these targets for 600 seconds each
#     CASKADE_FUZZ_SEED=7 tests/fuzz.sh 2000x    each 2,000 times, from the committed corpus alone and with this seed: the
#                                                same inputs on every machine
#
# The targets are in tests/fuzz; what must hold stands in src/fuzzing.rs. A target begins with its corpus, which is
# committed, and with what earlier runs have found to be new, which is kept below target/. An input that panics, takes
# more than ten seconds, or allocates 64 MiB at once ends the run; it is kept, and how to run it again is said. Once the
# bug is fixed it belongs into the corpus, under a name that begins with `found-`: each `cargo test` runs that.
#
# cargo-fuzz is installed below target/ where it is missing. It needs a C++ compiler. The compiler's coverage and
# address checks are said to be unstable, and are allowed for this build alone.
set -euo pipefail
cd "$(dirname "$0")/.."

amount=${1:?how many seconds for each target, or how many times with an x}
shift
targets=("$@")

export RUSTC_BOOTSTRAP=1
# Allocations are not to be traced back, and what is freed need not be kept long: this is a third of the time. The hash
# of a dataset stays in memory for ever, by design.
export ASAN_OPTIONS=detect_leaks=0:malloc_context_size=0:quarantine_size_mb=8

tool=target/cargo-fuzz/bin/cargo-fuzz
[ -x "$tool" ] || cargo install cargo-fuzz --locked --version 0.13.2 --root target/cargo-fuzz
# What is compared with what is not traced: a store opens six times as fast, and the corpus knows the magic words.
flags=(--fuzz-dir tests/fuzz --target-dir target/fuzz --codegen-units 16 --no-trace-compares)
fuzz() { "$tool" "$1" "${flags[@]}" "${@:2}"; }

[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <("$tool" list --fuzz-dir tests/fuzz)
fuzz build

failed=()
case "$amount" in
*x) limit=(-runs="${amount%x}") ;;
# Without any time, the committed corpus alone.
0) limit=(-runs=0) ;;
*) limit=(-max_total_time="$amount") ;;
esac
[ -z "${CASKADE_FUZZ_SEED:-}" ] || limit+=(-seed="$CASKADE_FUZZ_SEED")
for target in "${targets[@]}"; do
    printf '\n-- %s, %s\n' "$target" "${limit[0]#-}"
    log="target/fuzz/$target.log"
    grown="target/fuzz/corpus/$target"
    [ -z "${CASKADE_FUZZ_SEED:-}" ] || { grown="target/fuzz/seeded/$target" && rm -rf "$grown"; }
    mkdir -p "$grown"
    if fuzz run "$target" "$grown" "tests/fuzz/corpus/$target" -- "${limit[@]}" -timeout=10 \
        -malloc_limit_mb=64 -detect_leaks=0 -jobs=0 -print_final_stats=1 >"$log" 2>&1; then
        grep -E '^(Done|stat::)' "$log"
    else
        failed+=("$target")
        # What the coverage of each new input was says nothing here.
        grep -vE '^#[0-9]+\s' "$log" | tail -n 60
        echo "$target failed; the whole output is in $log. To run the input once more:"
        artifact=$(grep -oE 'Test unit written to \S+' "$log" | tail -n 1 | cut -d ' ' -f 5)
        echo "    RUSTC_BOOTSTRAP=1 $tool run ${flags[*]} $target ${artifact:-<input>}"
    fi
done
[ "${#failed[@]}" -eq 0 ] || { printf '\nfailed: %s\n' "${failed[*]}"; exit 1; }
