#!/usr/bin/env bash
# The demo: two reps and a manager on this machine, offline, in conflict, and in agreement.
#
# Usage: seeds/demo/run.sh FOLDER_WITH_PEYK_AND_PEYKD
# Shows each command before it runs it. Ends with an error where anything is not as it should be, and takes away
# everything that it made.
set -euo pipefail

programs=$(cd "${1:?usage: run.sh FOLDER_WITH_PEYK_AND_PEYKD}" && pwd)
seeds=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$programs:$PATH"
unset PEYK_HOME PEYKD_DATA
scratch=$(mktemp -d -t peyk-demo.XXXXXX)
cd "$scratch"
server=

bold= plain=
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

finish() {
    local status=$?
    trap - EXIT INT TERM
    [[ -n $server ]] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    if [[ $status -ne 0 ]]; then
        printf '\nThe demo FAILED (exit %s). What the server said last:\n' "$status" >&2
        tail -n 20 "$scratch/server.log" >&2 2>/dev/null || true
    fi
    cd /
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step=0
say() { step=$((step + 1)); printf '\n%s%2d. %s%s\n' "$bold" "$step" "$*" "$plain"; }
fail() { printf 'WRONG: %s\n' "$*" >&2; exit 1; }

# Shows a command as one would type it, then runs it.
show() {
    local word line='$'
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then line+=" $word"; else line+=" '$word'"; fi
    done
    printf '%s\n' "$line"
}
run() { show "$@"; "$@"; }
# Runs a command that must end with this exit code.
expect() {
    local wanted=$1 got=0
    shift
    show "$@"
    "$@" || got=$?
    [[ $got -eq $wanted ]] || fail "exit $got instead of $wanted"
}
# Runs a command whose one line of output is kept in a variable.
keep() {
    local name=$1 value
    shift
    show "$@"
    value=$("$@")
    printf '%s\n' "$value"
    printf -v "$name" '%s' "$value"
}
# json PATH < document
json() { cat >"$scratch/document.json"; sqlite3 :memory: "SELECT json_extract(CAST(readfile('$scratch/document.json') AS TEXT), '$1')"; }
# cell HOME SQL: one value of a replica, for checks.
cell() { sqlite3 "$1/replica.sqlite" "$2"; }
same() { [[ $2 == "$3" ]] || fail "$1: “$2” is not “$3”"; }

serve() {
    show peykd --data server serve --listen "$1" '&'
    peykd --data server serve --listen "$1" >server.out 2>>server.log &
    server=$!
    local tries=0
    until address=$(sed -n 's/^listening //p' server.out) && [[ -n $address ]]; do
        kill -0 "$server" 2>/dev/null || fail "the server did not start"
        tries=$((tries + 1))
        [[ $tries -lt 300 ]] || fail "the server was not ready in 30 s"
        sleep 0.1
    done
    printf 'listening %s\n' "$address"
}
stop() {
    show kill %1
    kill "$server"
    wait "$server" || fail "the server did not end in good order"
    server=
}

say "IT makes a workspace, three users, and loads the demo's customers and deals, English and Persian"
run peykd --data server init --workspace demo
run peykd --data server user add 'Maryam Hosseini' --role manager
run peykd --data server user add 'Sara Mohammadi' --role rep --territory Tehran
run peykd --data server user add 'Reza Karimi' --role rep --territory Isfahan --territory Tehran
for file in "$seeds"/[0-9]-*.csv; do
    printf '$ peykd --data server import %s --map %s\n' "${file#"$seeds"/}" "$(basename "${file%.csv}.json")"
    peykd --data server import "$file" --map "${file%.csv}.json"
done

say "The server listens on the loopback address, on a port of the system's choice"
serve 127.0.0.1:0

say "Each device joins with an invite that works once; the first sync brings what its owner may see"
join() {
    printf '$ peykd --data server invite %q | peyk --home %s join -\n' "$2" "$1"
    peykd --data server invite "$2" | grep -o 'peyk://[^ ]*' | peyk --home "$1" join --device-name "$1-laptop" -
}
join sara 'Sara Mohammadi'
join reza 'Reza Karimi'
join maryam 'Maryam Hosseini'
same "customers of Maryam" "$(cell maryam 'SELECT count(*) FROM customer')" 60
same "opportunities of Maryam" "$(cell maryam 'SELECT count(*) FROM opportunity')" 200
[[ $(cell sara 'SELECT count(*) FROM opportunity') -lt 200 ]] || fail "Sara holds more than her territory"

say "Sara adds a customer; after a sync Reza, who helps out in Tehran, has it too"
keep cafe peyk --home sara customer add --name 'کافه سیمرغ (Café Simorgh)' --territory Tehran
run peyk --home sara sync
run peyk --home reza sync

deal=$(cell sara "SELECT id FROM opportunity WHERE external_id = 'O-015'")
gone=$(cell sara "SELECT id FROM opportunity WHERE external_id = 'O-004'")

say "The network goes away; nobody can sync, and everybody goes on working"
stop
expect 69 peyk --home sara sync

say "Both edit one deal in different fields …"
run peyk --home sara opp set "$deal" close_date=2026-12-20
run peyk --home reza opp set "$deal" 'next_step=Send the signed contract'

say "… and in the same field, without knowing of each other"
run peyk --home sara opp set "$deal" 'amount=260,000,000 IRR'
run peyk --home reza opp set "$deal" 'amount=245,000,000 IRR'

say "Sara deletes a deal that Reza is working on"
run peyk --home sara opp delete --yes "$gone"
run peyk --home reza opp set "$gone" 'next_step=Visit on Tuesday'

say "Sara deletes the café, while Reza notes a contact there"
run peyk --home sara customer delete --yes "$cafe"
keep contact peyk --home reza contact add --name 'Nasrin Moradi' --customer "$cafe"

say "What waits in Sara's outbox"
run peyk --home sara pending

say "The network is back; everybody syncs"
serve "$address"
for home in sara reza sara maryam; do run peyk --home "$home" sync; done

say "Different fields: both edits stand"
run peyk --home maryam sql "SELECT name, close_date, next_step FROM opportunity WHERE id = '$deal'"
same "close date" "$(cell maryam "SELECT close_date FROM opportunity WHERE id = '$deal'")" 2026-12-20
same "next step" "$(cell maryam "SELECT next_step FROM opportunity WHERE id = '$deal'")" 'Send the signed contract'

say "The same field: one amount stands, the other is in the ledger of both reps and of the manager"
run peyk --home maryam conflicts
for home in sara reza maryam; do
    entries=$(cell "$home" "SELECT count(*) FROM peyk_ledger WHERE record_id = '$deal' AND state = 'open'")
    same "open conflicts about the deal at $home" "$entries" 1
done

say "Why that amount: every value it had, who had seen what, and the rule"
run peyk --home sara why "opportunity/$deal.amount"

say "The update beat the delete, and the new contact brought the café back"
same "the deal that was deleted" "$(cell sara "SELECT next_step FROM opportunity WHERE id = '$gone'")" 'Visit on Tuesday'
run peyk --home sara customer show "$cafe"
same "the café" "$(cell sara "SELECT count(*) FROM customer WHERE id = '$cafe'")" 1
same "the contact" "$(cell sara "SELECT name FROM contact WHERE id = '$contact'")" 'Nasrin Moradi'

say "Maryam decides for the other amount: what lost comes back as a new edit"
before=$(cell maryam "SELECT amount FROM opportunity WHERE id = '$deal'")
entry=$(cell maryam "SELECT id FROM peyk_ledger WHERE record_id = '$deal' AND state = 'open'")
run peyk --home maryam conflicts restore "$entry"
for home in maryam sara reza; do run peyk --home "$home" sync; done
after=$(cell sara "SELECT amount FROM opportunity WHERE id = '$deal'")
[[ $after != "$before" ]] || fail "the amount is still $before"
same "open conflicts about the deal" \
    "$(cell reza "SELECT count(*) FROM peyk_ledger WHERE record_id = '$deal' AND state = 'open'")" 0

say "The pipeline of Tehran, on the manager's replica"
run peyk --home maryam report pipeline --territory Tehran

say "The same figures on all three replicas and on the server"
figures=$(peykd --data server report pipeline --territory Tehran --format json | json '$.rows')
for home in sara reza maryam; do
    show peyk --home "$home" report pipeline --territory Tehran --format json
    same "the report of $home" "$(peyk --home "$home" report pipeline --territory Tehran --format json | json '$.rows')" "$figures"
    printf 'equal to the report of the server\n'
done

say "Proof by digests: each replica is equal to the server"
for home in sara reza maryam; do run peyk --home "$home" verify; done
peyk --home maryam dump >maryam.dump
peykd --data server dump >server.dump
cmp maryam.dump server.dump || fail "the manager's replica and the server differ"
printf 'and the manager’s dump is the server’s, byte for byte: %s records\n' "$(wc -l <server.dump)"

say "Done. Everything that the demo made is taken away again"
stop
