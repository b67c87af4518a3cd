#!/usr/bin/env bash
# Checks each model of this folder with SPIN: as it is, it must hold in every state; with one rule taken away (each line
# `broken: NAME` of a model), it must fail. BOUNDS=full takes the larger bounds. Names of models may follow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

bounds=()
[[ ${BOUNDS:-} == full ]] && bounds=(-DFULL)
models=("$@")
[[ ${#models[@]} -eq 0 ]] && models=(*.pml)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
count=0

# check MODEL NAME: runs one variant and prints a line; NAME is empty for the model as it is.
check() {
    local model=$1 name=$2 folder="$scratch/$1-${2:-good}" started=$SECONDS
    local define=() how=(-O2 -DCOLLAPSE)
    [[ -n $name ]] && define=("-D$name") && how=(-O1 -DT_REVERSE)
    mkdir "$folder"
    cp "$model.pml" "$folder/"
    (
        cd "$folder"
        spin -a ${bounds[@]+"${bounds[@]}"} ${define[@]+"${define[@]}"} "$model.pml" >spin.txt 2>&1 &&
            gcc "${how[@]}" -w -DSAFETY -DMEMLIM=6000 -o pan pan.c 2>gcc.txt &&
            ./pan -m1000000 >pan.txt 2>&1
    ) || { echo "$model ${name}: did not run" >&2; cat "$folder"/*.txt >&2; failed=1; return; }
    local errors states depth verdict=held why
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$folder/pan.txt")
    states=$(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' "$folder/pan.txt")
    depth=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' "$folder/pan.txt")
    why=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' "$folder/pan.txt")
    [[ $errors == 0 ]] || verdict=failed
    if grep -q -e "max search depth too small" -e "out of memory" -e "reached -DMEMLIM" "$folder/pan.txt"; then
        verdict=cut
    fi
    local expected=held
    [[ -n $name ]] && expected=failed
    local mark=
    if [[ $verdict != "$expected" ]]; then
        failed=1
        mark="  <- must be $expected"
    fi
    printf '%-10s %-18s %-7s %10s states, depth %-6s %3d s%s%s\n' "$model" "${name:-as it is}" "$verdict" "$states" \
        "$depth" $((SECONDS - started)) "${why:+  $why}" "$mark"
    if [[ -n $mark && $verdict == failed && -n ${TRAIL:-} ]]; then
        (cd "$folder" && spin -t -p -g -l ${bounds[@]+"${bounds[@]}"} "$model.pml" | tail -60)
    fi
    count=$((count + 1))
    rm -r "$folder"
}

for model in "${models[@]}"; do
    model=${model%.pml}
    check "$model" ""
    # A variant at the smaller bounds is enough.
    while read -r name; do bounds_kept=("${bounds[@]}"); bounds=(); check "$model" "$name"; bounds=("${bounds_kept[@]}")
    done < <(sed -n 's/^ \* broken: \([A-Z_]*\).*/\1/p' "$model.pml")
done
echo "spin: $count searches in $SECONDS s"
exit $failed
