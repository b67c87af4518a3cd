/*
 * Scope change against push: one record X, one user A with one replica, a manager who moves and edits X, IT who changes
 * A's grant, in every order with A's offline edit, with sessions that are cut and a replica that is killed at any step.
 *
 * Territories are bits: a grant, the scope that a replica holds and X's territory are masks of them.
 *
 * Rules: S1 (the held scope is stored with the cursor; what is outside the grant is dropped first, by the replica itself;
 *        then the log to the head as of welcome with the kept buckets, then pages, then the log with all; a change of
 *        grants takes a position and ends the sessions), S3 (entering brings the whole record, leaving an evict), S4
 *        (rights as of the commit's anchor, or now), B1 (pages wait beside the tables for the switch), P20 and P21.
 * In code: Greeting (entrance, kept), ServerSession (phases), SessionView (what an entry is for a grant), Replica.adopt
 *          (evictOutside), Backfill, CommitMerge+Rights. `cursor`, `held`, `row…`, `staged…`, `pending`, `anchor` are in
 *          the replica's file; `phase`, `sent`, `session…` are of ServerSession; the rest is in the store.
 *
 * broken: SERVER_EVICTS  the server lists what to drop, from X as it is now (m7)
 * broken: NO_CATCHUP     pages and the log with all buckets begin at once, from the old cursor (m8)
 * broken: NO_CUT         a session outlives the change of its grant (m11)
 * broken: RIGHTS_NOW     rights are asked as of now only (m12)
 * broken: DELTA_ENTERS   a record that enters comes as a delta (S3)
 * broken: HELD_EARLY     the held scope is stored with welcome, before the pages are there (S1)
 * broken: EVICT_DROPS    an evict takes the pending edit with it (S4)
 * broken: UNSTAGED       pages enter the tables as they come (m10)
 */
#ifdef FULL
#define MOVES 2
#define WRITES 1
#define GRANTS 2
#define EDITS 2
#else
#define MOVES 2
#define WRITES 1
#define GRANTS 2
#define EDITS 1
#endif
#define POSITIONS (1 + MOVES + WRITES + GRANTS + EDITS)
#define holdsAny(mask) ((mask) != 0)
#define wrote(p) (territoryAt[p] != territoryAt[p - 1] || versionAt[p] != versionAt[p - 1])

mtype = { streaming, catching, paging, whole };

/* The store: X, A's grant, and both as of each position. */
byte head = 1, territory = 1, version = 1, grant = 1;
byte territoryAt[POSITIONS + 1], versionAt[POSITIONS + 1], grantAt[POSITIONS + 1];
byte moves = MOVES, writes = WRITES, grants = GRANTS, edits = EDITS;

/* The replica's file. */
byte cursor = 1, held = 1;
bool has = true;
byte rowTerritory = 1, rowVersion = 1;
bool pending; byte anchor, mergedAt;
bool staged; byte stagedTerritory, stagedVersion;   /* X, as the pages and the log after them have it */
bool onPage, touched; byte stagedAt, target;        /* X was on a page, or in the log after it */

/* The session; `seen` is its grant, `kept` the part that the replica holds. */
bool open; mtype phase = streaming;
byte sent, seen, kept, catchUp;

inline log_position() {
    head++;
    territoryAt[head] = territory; versionAt[head] = version; grantAt[head] = grant
}

inline drop_row() {
    has = false; rowTerritory = 0; rowVersion = 0;
#ifdef EVICT_DROPS
    lost = pending && mergedAt == 0;
    assert(!lost)
#endif
}

inline drop_stage() {
    staged = false; stagedTerritory = 0; stagedVersion = 0; onPage = false; touched = false; stagedAt = 0; target = 0
}

inline close_session() { open = false; phase = streaming; sent = 0; seen = 0; kept = 0; catchUp = 0 }

/* Hello and welcome, adopted in one transaction of the replica. */
inline greet() {
    open = true; seen = grant; kept = held & grant; sent = cursor;
    drop_stage();                                                /* resuming a backfill is left out */
#ifdef SERVER_EVICTS
    if
    :: has && holdsAny(territory & held) && !holdsAny(territory & grant) -> drop_row()
#else
    if
    :: has && !holdsAny(rowTerritory & grant) -> drop_row()
#endif
    :: else
    fi;
    if
    :: (grant & ~held) != 0 ->
        target = grant; catchUp = head;
#ifdef NO_CATCHUP
        phase = paging
#else
        phase = catching
#endif
    :: else -> phase = streaming
    fi;
    held = kept;
#ifdef HELD_EARLY
    held = grant;
#endif
    skip
}

/* One entry of the log, as a session that reads with `scope` may see it. */
inline entry(p, scope) {
    if
    :: holdsAny(territoryAt[p] & scope) && wrote(p) ->
        assert(holdsAny(territoryAt[p] & seen));
        if
#ifdef DELTA_ENTERS
        :: has -> rowTerritory = territoryAt[p]; rowVersion = versionAt[p]
        :: !has -> assert(false)                                 /* a delta for a record that is not held */
#else
        :: territoryAt[p] != territoryAt[p - 1] -> has = true; rowTerritory = territoryAt[p]; rowVersion = versionAt[p]
        :: territoryAt[p] == territoryAt[p - 1] && has -> rowVersion = versionAt[p]
        :: territoryAt[p] == territoryAt[p - 1] && !has -> assert(false)
#endif
        fi
    :: !holdsAny(territoryAt[p] & scope) && holdsAny(territoryAt[p - 1] & scope) -> drop_row()
    :: else
    fi;
    cursor = p; sent = p;
    if
    :: mergedAt == p -> pending = false; anchor = 0; mergedAt = 0
    :: else
    fi
}

/* Between the pages and the switch: whole records, beside the tables. */
inline whole_entry(p) {
    if
    :: onPage && p <= stagedAt                                   /* the page is newer */
    :: !(onPage && p <= stagedAt) && holdsAny(territoryAt[p] & target) && wrote(p) ->
        assert(p > catchUp);                                     /* P20: nothing of a time before the grant */
        touched = true; staged = true; stagedTerritory = territoryAt[p]; stagedVersion = versionAt[p]
    :: !(onPage && p <= stagedAt) && !holdsAny(territoryAt[p] & target) && holdsAny(territoryAt[p - 1] & target) ->
        touched = true; staged = false; stagedTerritory = 0; stagedVersion = 0
    :: else
    fi;
    sent = p
}

inline switch_over() {
    if
    :: onPage || touched -> has = staged; rowTerritory = stagedTerritory; rowVersion = stagedVersion
    :: else                                                      /* what the kept buckets hold stays as it is */
    fi;
    if
    :: mergedAt > 0 && mergedAt <= sent -> pending = false; anchor = 0; mergedAt = 0
    :: else
    fi;
    cursor = sent; held = target;
    drop_stage();
    phase = streaming
}

#define mayNow (holdsAny(territory & grant))
#define mayAtAnchor (holdsAny(territoryAt[anchor] & grantAt[anchor]))

inline take_push() {
#ifdef RIGHTS_NOW
    allowed = mayNow;
#else
    allowed = mayNow || mayAtAnchor;
#endif
    /* S4: who had the record, by the grant as of her cursor, is not refused; it is merged, and handed off where X moved.
       (Where a grant went and came back, what she wrote on top of a position between the two is parked.) */
    assert(allowed || !entitled);
    version = version + allowed;
    log_position();
    mergedAt = head
}

proctype A() {
    bool allowed, lost, entitled;
end:
    do
    :: d_step { !pending && edits > 0 && has && holdsAny(rowTerritory & held) ->
        edits--; pending = true; anchor = cursor; entitled = holdsAny(rowTerritory & grantAt[cursor]) }
    :: d_step { !open && (cursor < head || held != grant || pending) -> greet() }
    :: d_step { open && pending && mergedAt == 0 -> take_push(); allowed = false }

    :: d_step { open && phase == catching && sent < catchUp -> entry(sent + 1, kept) }
    :: d_step { open && phase == catching && sent >= catchUp -> phase = paging }
    :: d_step { open && phase == paging ->                       /* the page that X is in, or is not in */
        assert(target == grant);
        stagedAt = head; onPage = holdsAny(territory & target & ~kept); staged = onPage;
        stagedTerritory = (staged -> territory : 0); stagedVersion = (staged -> version : 0);
#ifdef UNSTAGED
        if
        :: onPage -> has = true; rowTerritory = stagedTerritory; rowVersion = stagedVersion
        :: else
        fi;
#endif
        phase = whole }
    :: d_step { open && phase == whole && sent < stagedAt -> whole_entry(sent + 1) }
    :: d_step { open && phase == whole && sent >= stagedAt -> switch_over() }
    :: d_step { open && phase == streaming && sent < head ->
        assert(seen == grant);                                   /* P20: else it may read what was taken away */
        entry(sent + 1, seen) }

    :: d_step { open -> close_session() }                        /* cut, or the replica is killed */

    /* A row that is shown under a cursor is the row as of that cursor (P10, P11): an edit's anchor covers what its
       author saw. */
    :: d_step { has -> assert(cursor >= 1 && rowVersion == versionAt[cursor]) }

    /* At rest: exactly the scope (P21), as the server has it (P1). */
    :: d_step { open && phase == streaming && sent == head && !pending && seen == grant ->
        assert(held == grant);
        assert(has == holdsAny(territory & grant));
        assert(!has || (rowTerritory == territory && rowVersion == version));
        close_session() }
    od
}

inline regranted() {
    log_position();
#ifndef NO_CUT
    close_session()
#endif
}

proctype Office() {
end:
    do
    :: d_step { moves > 0 -> moves--; territory = 3 - territory; log_position() }
    :: d_step { writes > 0 -> writes--; version++; log_position() }
    :: d_step { grants > 0 && grant != 1 -> grants--; grant = 1; regranted() }
    :: d_step { grants > 0 && grant != 2 -> grants--; grant = 2; regranted() }
    :: d_step { grants > 0 && grant != 3 -> grants--; grant = 3; regranted() }
    od
}

init {
    d_step { territoryAt[0] = 1; territoryAt[1] = 1; versionAt[0] = 1; versionAt[1] = 1; grantAt[0] = 1; grantAt[1] = 1 };
    atomic { run A(); run Office() }
}
