#!/usr/bin/env bash
# Fuzzes one target (TARGET) or each in turn, SECONDS_EACH for each, from the inputs in seeds/fuzz. What is new goes to a
# folder of its own; a crash is kept there too, and this fails. KEEP=1 adds what reached new code to seeds/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scratch=${FUZZ_SCRATCH:-.build-fuzz}
export PEYK_FUZZ=1 PEYK_TARGETS=PeykFuzz
flags=(--sanitize=fuzzer --sanitize=address --scratch-path "$scratch")
swift build "${flags[@]}"
program="$(swift build "${flags[@]}" --show-bin-path)/PeykFuzz"
targets=${TARGET:-frame client server session commit clock page schema invite csv}
status=0
for target in $targets; do
    found="$scratch/found/$target"
    mkdir -p "$found" "seeds/fuzz/$target"
    echo "fuzz: $target for ${SECONDS_EACH:-60} s"
    if ! PEYK_FUZZ_TARGET=$target "$program" "$found" "seeds/fuzz/$target" -max_total_time="${SECONDS_EACH:-60}" \
        -max_len=16384 -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$found-crash-" -print_final_stats=1 \
        >"$found.log" 2>&1; then
        status=1
        echo "fuzz: $target broke; see $found.log and $found-crash-*" >&2
    fi
    grep -E "number_of_executed_units|average_exec_per_sec|new_units_added|^SUMMARY|Fatal|broken on" "$found.log" || true
    grep -oE "cov: [0-9]+ ft: [0-9]+ corp: [0-9]+" "$found.log" | tail -1 || true
    if [[ ${KEEP:-} == 1 ]]; then
        PEYK_FUZZ_TARGET=$target "$program" -merge=1 "seeds/fuzz/$target" "$found" >>"$found.log" 2>&1 || true
        for file in "seeds/fuzz/$target"/*; do [[ $file == *.bin ]] || mv "$file" "$file.bin"; done
    fi
done
exit $status
