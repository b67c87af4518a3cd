#!/usr/bin/env bash
# Do the tests find bugs? Every patch of this folder puts one bug into a copy of the sources, behind a switch; the copy is
# built once, with all of them; then each is turned on alone, and the tests must fail.
#
#   ONLY="3 17"     these alone           SUITES="A B"   what may catch them, beside what each names
#   BUILD_ONLY=1    make the copy, build it, and stop
#   MUTANTS_SCRATCH where the copy is (default .build-mutants), MUTANTS_BUILD where it is built
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=Tests/Mutants
scratch=$(realpath -m "${MUTANTS_SCRATCH:-.build-mutants}")
copy=$scratch/copy
build=${MUTANTS_BUILD:-$scratch/build}
suites=${SUITES:-PeykModelTests PeykMergeTests PeykSessionTests PeykWireTests PeykCRMTests PeykServerTests StoreContractTests
    PeykReplicaTests PeykTransportTests ConvergenceTests FuzzReplayTests}
seconds=${SECONDS_MAX:-300}
limit=(timeout --kill-after=5 "$seconds")

field() { sed -n "s/^$2: //p" "$1" | head -1; }

next=$scratch/next
rm -rf "$next"
mkdir -p "$copy" "$next"
git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$next" 2>/dev/null || true
lost=()
for patch in "$here"/[0-9]*.patch; do
    git apply --check "$patch" 2>/dev/null || { lost+=("$(basename "$patch")"); continue; }
    # Less context is enough where a neighbour's patch came before.
    patch --quiet --batch --no-backup-if-mismatch -d "$next" -p1 -F 2 <"$patch" >/dev/null ||
        lost+=("$(basename "$patch")")
done
cp "$here/Mutant.swift.txt" "$next/Protocol/PeykModel/Mutant.swift"
if [[ ${#lost[@]} -gt 0 ]]; then
    echo "mutants: these do not apply any more; mend the patch or the rule: ${lost[*]}" >&2
fi

# Only what differs is copied, so that a second run builds little.
(cd "$next" && find . -type f -print0) | while IFS= read -r -d '' file; do
    cmp -s "$next/$file" "$copy/$file" || { mkdir -p "$(dirname "$copy/$file")"; cp "$next/$file" "$copy/$file"; }
done
(cd "$copy" && find . -type f -print0) | while IFS= read -r -d '' file; do
    [[ -e $next/$file ]] || rm "$copy/$file"
done

cd "$copy"
all=$(for patch in "$here"/[0-9]*.patch; do field "$patch" Caught-by; done | tr ' ' '\n'; tr ' ' '\n' <<<"$suites")
export PEYK_TARGETS
PEYK_TARGETS=$(sed 's/\..*//; /^$/d' <<<"$all" | sort -u | paste -sd,)
swift build --build-tests --scratch-path "$build"
[[ ${BUILD_ONLY:-} == 1 ]] && exit 0
program=$(swift build --scratch-path "$build" --show-bin-path)/peykPackageTests.xctest

# passes SUITE: all tests of a target, or of one type in it (Target.Type), pass within the time.
passes() {
    local filter="^$1[./]"
    "${limit[@]}" "$program" --testing-library swift-testing --filter "${filter//./\\.}" >"$scratch/last.log" 2>&1
}

# sound SUITE: it passes without any mutant; asked once.
declare -A known=()
sound() {
    if [[ -z ${known[$1]-} ]]; then
        if PEYK_MUTANT=0 passes "$1" && ! grep -q "with 0 tests" "$scratch/last.log"; then known[$1]=yes; else
            known[$1]=no
            echo "mutants: $1 fails without any mutant, so it proves nothing:" >&2
            grep -E "✘|rror" "$scratch/last.log" | head -5 >&2
        fi
    fi
    [[ ${known[$1]} == yes ]]
}

survivors=()
count=0
table=$scratch/table.md
{ echo "| no. | rule | the bug | caught by |"; echo "|---|---|---|---|"; } >"$table"
for patch in "$here"/[0-9]*.patch; do
    name=$(basename "$patch" .patch)
    number=$((10#${name%%-*}))
    [[ " ${lost[*]-} " == *" $name.patch "* ]] && continue
    [[ -n ${ONLY:-} && " $ONLY " != *" $number "* ]] && continue
    first=$(field "$patch" Caught-by)
    by=
    export PEYK_MUTANT=$number
    for suite in $first $suites; do
        sound "$suite" || continue
        code=0
        passes "$suite" || code=$?
        [[ $code -eq 0 ]] && continue
        [[ $code -eq 124 ]] && by="$suite (does not end)" || by=$suite
        break
    done
    unset PEYK_MUTANT
    count=$((count + 1))
    if [[ -z $by ]]; then
        survivors+=("$name")
        by="**nobody**"
    else
        test=$(grep -oE '(Test|✘ Test) "[^"]*"' "$scratch/last.log" | grep -oE '"[^"]*"' | head -1 || true)
        failed=$(grep -E '✘ Test ' "$scratch/last.log" | grep -oE 'Test ("[^"]*"|[a-zA-Z]+\(\))' | head -1 | sed 's/^Test //' || true)
        by="$by: ${failed:-${test:-a trap}}"
    fi
    echo "| $number | $(field "$patch" Rule) | $(field "$patch" Breaks) | $by |" >>"$table"
    echo "mutants: $name: $by"
done
echo "mutants: $count tried, $((count - ${#survivors[@]})) caught, ${#lost[@]} do not apply; the table is $table"
if [[ ${#survivors[@]} -gt 0 ]]; then
    echo "mutants: nobody caught ${survivors[*]}" >&2
    exit 1
fi
[[ ${#lost[@]} -eq 0 ]]
