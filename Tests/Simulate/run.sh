#!/usr/bin/env bash
# Runs the simulation on all cores: run.sh PROGRAM SEEDS START OPERATIONS. Each process has its own part of the seeds.
set -euo pipefail
program=$1 seeds=$2 start=$3 operations=$4
cores=$(nproc)
(( cores > seeds )) && cores=$seeds
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/seeds/simulation
part=$(( (seeds + cores - 1) / cores ))
processes=() failed=0 ran=0 began=$SECONDS
for (( core = 0; core < cores; core++ )); do
    first=$(( start + core * part ))
    count=$(( start + seeds - first < part ? start + seeds - first : part ))
    (( count > 0 )) || continue
    "$program" --seeds "$count" --start "$first" --operations "$operations" --keep "$folder" &
    processes+=($!)
    ran=$(( ran + count ))
done
for process in "${processes[@]}"; do wait "$process" || failed=1; done
echo "simulate: $ran seeds of $operations operations on $cores cores in $((SECONDS - began)) s, $([[ $failed == 0 ]] && echo "none failing" || echo "SOME FAILING")"
exit $failed
