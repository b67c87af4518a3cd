/*
 * Tombstone collection: one record, two devices, leases, reports, a log that is cut, and images of laptops.
 *
 * Messages between a device and the server may be lost at any step (session.pml has the rest of that). A device edits or
 * deletes the record offline, pushes and pulls in any order, is absent until its lease runs out, or is put back to an
 * image of itself. The server cuts its log and collects the tombstone whenever the rules let it.
 *
 * Rules: T1 (a device reports the lower of its cursor and the anchor of its oldest unanswered commit; a tombstone goes
 *        when every live device's report has passed it; expiry is recorded and means resync), D1 (an update beats a
 *        delete that had not seen it, whichever comes first), I3 (an applied position below the one on record means
 *        restored), B1, P13 and P14 (nothing that was deleted comes back by itself).
 * In code: Replica.hello (`applied`), Greeting (entrance: resume or snapshot), the server's retention, merge.
 *          `cursor`, `holds`, `pending`, `anchor` are in the replica's file; `report`, `reached`, `live` in SiteDocument;
 *          `record`, `deletedAt`, `kept`, `collected` in the store.
 *
 * broken: CURSOR_ONLY    a device reports its cursor, whatever it has not been answered (m13)
 * broken: TIMER_ONLY     a tombstone goes by age, whoever has not passed it
 * broken: NO_RESYNC      a device behind the cut log goes on as if it were not
 * broken: NOT_RECORDED   expiry is forgotten when the device comes back
 * broken: IMAGE_RESUMES  an image from before a collected tombstone goes on from its cursor
 * broken: HELLO_ONLY     an image is compared with the cursor of the last hello, not with what was reported since
 * broken: EXPIRY_SHED    a site that is new after a restore does not inherit that its former one had expired
 * broken: LATE_REPORT    a site that is new after a restore inherits the report of the former one
 */
#ifdef FULL
#define COMMITS 3
#define CUTS 2
#define LAPSES 2
#else
#define COMMITS 2
#ifdef EXPIRY_SHED
#define CUTS 1
#else
#define CUTS 0
#endif
#define LAPSES 1
#endif
#define NOPS 1
#define POSITIONS (COMMITS + NOPS + 1)
#define DEVICES 2

#define none 0
#define update 1
#define delete 2
mtype = { alive, tombstone, gone };

/* The replica's file. */
typedef Replica {
    byte cursor;
    bool holds;           /* the confirmed row is there */
    byte pending;         /* of this record */
    byte anchor;          /* that the pending commit was sealed with */
    byte id;              /* of the pending commit */
    bool resynced         /* since the pending commit was sealed */
}
Replica device[DEVICES];
Replica image;
bool imaged, restored;

/* The store. */
mtype record = alive;
byte head = 1, writtenAt = 1, deletedAt, kept, collected;
bool aliveAt[POSITIONS + 1];      /* the log's outcomes: does the record live after this position? */
byte mergedAt[COMMITS + 1];   /* by commit id; 0 = not known */
byte report[DEVICES], reached[DEVICES];
bool live[DEVICES], greeted[DEVICES];
bool lapsed[DEVICES];              /* for the assertion only: its lease ran out at some time */
byte nops = NOPS, cuts = CUTS, lapses = LAPSES, ids;

#define upTo(i) (live[i] -> report[i] : head)
#ifdef TIMER_ONLY
#define passed(i) true
#else
#define passed(i) (!live[i] || report[i] >= deletedAt)
#endif

inline log_outcome() { head++; aliveAt[head] = (record == alive) }

/* What the device would say of itself. */
#ifdef CURSOR_ONLY
#define applied(i) device[i].cursor
#else
#define applied(i) (device[i].pending != none && device[i].anchor < device[i].cursor -> device[i].anchor : device[i].cursor)
#endif

inline snapshot(i) {
    device[i].cursor = head;
    device[i].holds = (record == alive);
    if
    :: device[i].pending != none && mergedAt[device[i].id] > 0 -> device[i].pending = none      /* B2 */
    :: device[i].pending != none && mergedAt[device[i].id] == 0 -> device[i].resynced = true
    :: else
    fi;
    if
    :: device[i].pending == none -> device[i].id = 0; device[i].anchor = 0; device[i].resynced = false
    :: else
    fi
}

#ifdef NOT_RECORDED
#define expired(i) false
#else
#define expired(i) (!live[i])
#endif
#ifdef IMAGE_RESUMES
#define behind(i) (device[i].cursor < kept)
#else
#define behind(i) (device[i].cursor < kept || device[i].cursor < collected)
#endif
#ifdef NO_RESYNC
#define must_resync(i) false
#else
#define must_resync(i) (expired(i) || behind(i))
#endif

#ifdef HELLO_ONLY
#define was_restored(i) (device[i].cursor < reached[i])
#else
#define was_restored(i) (device[i].cursor < reached[i] || device[i].cursor < report[i])
#endif

/* Hello and welcome; the device's own drop of what the answer holds is in the same step as its new cursor. */
inline greet(i) {
    if
    :: was_restored(i) ->                                        /* I3: an image; it becomes a new site */
#ifndef LATE_REPORT
        report[i] = applied(i);
#endif
#ifdef EXPIRY_SHED
        live[i] = true;
#endif
        skip
    :: else
    fi;
    if
    :: must_resync(i) -> snapshot(i); report[i] = applied(i)
    :: else
    fi;
    live[i] = true;
    reached[i] = device[i].cursor;
    report[i] = (applied(i) > report[i] -> applied(i) : report[i]);
    greeted[i] = true
}

inline merge_pending(i) {
    if
    :: device[i].pending == update ->
        if
        :: record == alive -> writtenAt = head + 1
        :: record == tombstone ->                                /* D1: an update that the delete had not seen wins */
            assert(device[i].anchor < deletedAt);
            record = alive; writtenAt = head + 1; deletedAt = 0
        :: record == gone ->
            /* Refused as of an unknown record, and parked: only for who had to take a snapshot first (the image of an
               expired laptop has one behind it). */
            assert(device[i].resynced || (restored && lapsed[i]))
        fi
    :: device[i].pending == delete ->
        if
        :: record == alive && device[i].anchor >= writtenAt -> record = tombstone; deletedAt = head + 1
        :: record == alive && device[i].anchor < writtenAt       /* loses, with a ledger entry */
        :: record == tombstone -> deletedAt = head + 1
        :: record == gone
        fi
    fi;
    log_outcome();
    mergedAt[device[i].id] = head
}

inline apply_up_to(i, limit) {
    to = limit;
    /* Outcomes below `kept` are not in the log any more: they are passed over in silence. */
    do
    :: device[i].cursor < to ->
        device[i].cursor++;
        if
        :: device[i].cursor > kept -> device[i].holds = aliveAt[device[i].cursor]
        :: else
        fi;
        if
        :: device[i].id > 0 && mergedAt[device[i].id] == device[i].cursor ->
            device[i].pending = none; device[i].anchor = 0; device[i].id = 0; device[i].resynced = false
        :: else
        fi
    :: else -> break
    od;
    to = 0;
    if
    :: device[i].cursor == head -> assert(device[i].holds == (record == alive))                 /* P14, P1 */
    :: else
    fi
}

proctype Device(byte i) {
    byte to;
end:
    do
    :: d_step { device[i].pending == none && device[i].holds && ids < COMMITS ->
        ids++; device[i].pending = update; device[i].anchor = device[i].cursor; device[i].id = ids }
    :: d_step { device[i].pending == none && device[i].holds && ids < COMMITS ->
        ids++; device[i].pending = delete; device[i].anchor = device[i].cursor; device[i].id = ids }

    :: d_step { !greeted[i] -> greet(i) }
    :: d_step { greeted[i] && cuts > 0 -> cuts--; greeted[i] = false }

    /* A pushed commit that is known is answered as known; its answer comes by the stream. */
    :: d_step { greeted[i] && device[i].pending != none && mergedAt[device[i].id] == 0 -> merge_pending(i) }
    :: d_step { greeted[i] && device[i].cursor < head -> apply_up_to(i, device[i].cursor + 1) }
    :: d_step { greeted[i] && applied(i) > report[i] -> report[i] = applied(i) }

    :: d_step { live[i] && lapses > 0 -> lapses--; live[i] = false; lapsed[i] = (i == 0 && !restored) || lapsed[i]; greeted[i] = false } /* its lease ran out */

    :: d_step { i == 0 && !imaged -> imaged = true;
        image.cursor = device[0].cursor; image.holds = device[0].holds; image.pending = device[0].pending;
        image.anchor = device[0].anchor; image.id = device[0].id; image.resynced = device[0].resynced }
    :: d_step { i == 0 && imaged && !restored -> restored = true; greeted[0] = false;
        device[0].cursor = image.cursor; device[0].holds = image.holds; device[0].pending = image.pending;
        device[0].anchor = image.anchor; device[0].id = image.id; device[0].resynced = image.resynced;
        image.cursor = 0; image.holds = 0; image.pending = 0; image.anchor = 0; image.id = 0; image.resynced = 0 }
    od
}

proctype Retention() {
end:
    do
    :: d_step { nops > 0 -> nops--; log_outcome() }      /* other records */
    :: d_step { record == tombstone && passed(0) && passed(1) -> record = gone; collected = deletedAt; deletedAt = 0 }
    :: d_step { kept < upTo(0) && kept < upTo(1) && kept < head ->
        kept = (upTo(0) < upTo(1) -> upTo(0) : upTo(1));
        kept = (kept < head -> kept : head) }
    od
}

init {
    d_step {
        aliveAt[1] = true;
        device[0].cursor = 1; device[0].holds = true; report[0] = 1; reached[0] = 1; live[0] = true;
        device[1].cursor = 1; device[1].holds = true; report[1] = 1; reached[1] = 1; live[1] = true
    };
    atomic { run Device(0); run Device(1); run Retention() }
}
