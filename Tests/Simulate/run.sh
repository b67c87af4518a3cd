#!/usr/bin/env bash
# Runs the simulation on all cores, each process with its own part:
#   run.sh PROGRAM seeds SEEDS START OPERATIONS [MINUTES]   so many seeds, or as many as end within so many minutes
#   run.sh PROGRAM stories STORIES START STRIDE             stories of the small world
set -euo pipefail
program=$1 what=$2 count=$3 start=$4 detail=$5 minutes=${6:-0}
cores=$(nproc)
(( cores > count )) && cores=$count
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/seeds/simulation
told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT
processes=() failed=0 began=$SECONDS
for (( core = 0; core < cores; core++ )); do
    # Each cores-th, so that a run that ends early has told the first of them.
    mine=$(( (count - core + cores - 1) / cores ))
    (( mine > 0 )) || continue
    if [[ $what == stories ]]; then
        "$program" --small "$mine" --start $(( start + core * detail )) --stride $(( cores * detail ))
    else
        "$program" --seeds "$mine" --start $(( start + core )) --stride "$cores" --operations "$detail" \
            --keep "$folder" --minutes "$minutes"
    fi | tee "$told/$core" &
    processes+=($!)
done
for process in "${processes[@]}"; do wait "$process" || failed=1; done
ran=$(awk '/^(simulation|small world): [0-9]+ / { for (i = 1; i < NF; i++) if ($(i + 1) == "seeds" || $(i + 1) == "stories") { sum += $i; break } } END { print sum + 0 }' "$told"/*)
echo "simulate: $ran $what$([[ $what == seeds ]] && echo " of $detail operations") on $cores cores in $((SECONDS - began)) s, $([[ $failed == 0 ]] && echo "none failing" || echo "SOME FAILING")"
exit $failed
