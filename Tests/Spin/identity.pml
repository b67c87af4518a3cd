/*
 * Identity: one enrolled device, an image of it, a copy that runs beside it, and a network that loses answers and
 * delivers one hello late.
 *
 * Rules: C1 (a commit has an id that copies and new dots keep), I2 (hellos are numbered; a later one ends the site's
 *        earlier sessions; the offered nonce comes into use with the first message sent under it), I3 (copied or
 *        restored: nonce, last sealed seq, another id under a dot of ours; the applied
 *        position is in retention.pml), I4, K9, P4, P18, P26.
 *        Schedules m15 to m20 of the model from which the rules came.
 * In code: Greeting (newSiteReason, refuseOvertaken), Committer.take (knownDot, known ids), Replica.adopt (redot).
 *          `site`, `nonce`, `number`, `sealed`, `id[]`, `confirmed` are in the replica's file; the arrays by
 *          site are SiteDocument; `merged[]` is the store's index of ids.
 *
 * broken: ONE_NONCE        the offered nonce is the only one at once: a lost welcome looks like a copy (m16)
 * broken: NO_NONCE         nonces are not compared: a copy keeps the site of its original
 * broken: NO_IDS           a commit is known by its dot only (m15)
 * broken: NO_SEQ           the last sealed seq is not compared
 * broken: NO_DOT_IDENTITY  ids under the site's dots are not compared (m20)
 * broken: LAST_KEPT_ONLY   hello's last kept commit is all that is compared (an image that went on further)
 * broken: NO_NUMBER        an overtaken hello counts (m17)
 * broken: DROP_ON_ID       a commit leaves the outbox when its id comes by under a former dot (m19)
 */
#ifdef FULL
#define IDS 4
#define LOSSES 2
#define HELLOS 5
#else
#define IDS 3
#define LOSSES 1
#define HELLOS 3
#endif
#define DEVICES 2
#define SITES 8
#define SEQS IDS
#define NONE 0

/* A replica's file. Commits 1..sealed have dots of `site`; those up to `confirmed` have come back by the stream. */
typedef Replica {
    bool used;
    byte site, nonce, number, sealed, confirmed;
    byte id[SEQS + 1]
}
Replica device[DEVICES];
Replica image;
bool imaged, restoredOnce, copied;

/* Sessions as the devices see them. */
bool open[DEVICES];
byte sent[DEVICES];

/* The store, by site; nonces are numbers, each given once. */
byte inUse[SITES], offered[SITES], last[SITES], helloSeen[SITES];
bool mustRenew[SITES];
byte dotID[SITES * (SEQS + 1)];
byte mergedCount[IDS + 1];
byte sites = 1, nonces = 1, ids, losses = LOSSES, hellos;

/* A hello that is still under way. */
byte lateNonce, lateNumber, lateAt;
bool lateHelloUsed;

#define dot(s, q) dotID[(s) * (SEQS + 1) + (q)]

inline merge(s, q, x) {
    dot(s, q) = x;
    last[s] = q;
#ifdef NO_IDS
    mergedCount[x]++;
#else
    mergedCount[x] = (mergedCount[x] == 0 -> 1 : mergedCount[x]);
#endif
    assert(mergedCount[x] <= 1)                                  /* P4 */
}

inline clear_ids(d) {
    k = 1;
    do
    :: k <= SEQS -> device[d].id[k] = NONE; k++
    :: else -> break
    od;
    k = 0
}

/* What the stream brings. */
inline pull(d) {
    k = device[d].confirmed + 1;
    do
#ifdef DROP_ON_ID
    :: k <= device[d].sealed && mergedCount[device[d].id[k]] > 0 -> device[d].confirmed = k; k++
#else
    :: k <= device[d].sealed && k <= last[device[d].site] && dot(device[d].site, k) == device[d].id[k] ->
        device[d].confirmed = k; k++                             /* K9: its present dot is accepted */
#endif
    :: else -> break
    od;
    k = 0
}

/* Whether the server's memory of the site and the device's own do not fit (I3). */
inline unlike(d, s) {
    strange = false;
#ifndef NO_SEQ
    strange = strange || device[d].sealed < last[s];
#endif
#ifndef NO_DOT_IDENTITY
    strange = strange || mustRenew[s];
#ifdef LAST_KEPT_ONLY
    strange = strange || (device[d].sealed == last[s] && last[s] > 0 && device[d].id[last[s]] != dot(s, last[s]));
#else
    strange = strange || (device[d].sealed >= last[s] && last[s] > 0 && device[d].id[last[s]] != dot(s, last[s]));
#endif
#endif
#ifndef NO_NONCE
    /* A number that is not above the last, on a new challenge, is a copy's or an image's. */
    strange = strange || (device[d].nonce != inUse[s] && device[d].nonce != offered[s]) || device[d].number <= helloSeen[s];
#endif
    skip
}

/* Kept commits that the stream has not brought get new dots and keep their ids. */
inline redot(d, s) {
    device[d].site = s;
    k = 1;
    do
    :: device[d].confirmed + k <= device[d].sealed -> device[d].id[k] = device[d].id[device[d].confirmed + k]; k++
    :: else -> break
    od;
    device[d].sealed = device[d].sealed - device[d].confirmed;
    device[d].confirmed = 0;
    do
    :: k <= SEQS -> device[d].id[k] = NONE; k++
    :: else -> break
    od;
    k = 0
}

/* Hello and welcome; `heard`: the welcome arrives, and the replica adopts it. */
inline greet(d, heard) {
    s = device[d].site;
    device[d].number++;
    open[d] = false; sent[d] = 0;
    unlike(d, s);
    if
    :: strange ->
        assert(imaged || copied);                                /* P26, m16: no needless new site */
        assert(sites < SITES);
        s = sites; sites++;
        nonces++; inUse[s] = nonces; offered[s] = nonces
    :: !strange ->
        if
        :: device[d].nonce == offered[s] -> inUse[s] = offered[s]
        :: else
        fi;
        nonces++; offered[s] = nonces;
#ifdef ONE_NONCE
        inUse[s] = nonces;
#endif
        skip
    fi;
    helloSeen[s] = (device[d].number > helloSeen[s] -> device[d].number : helloSeen[s]);
    if
    :: heard ->
        if
        :: s != device[d].site -> redot(d, s)
        :: else
        fi;
        device[d].nonce = offered[s];
        open[d] = true; sent[d] = last[s]
    :: !heard
    fi;
    s = 0; strange = false
}

/* One push; what comes after the last that the welcome named, in seq order (I4). */
inline push(d) {
    s = device[d].site;
    sent[d]++;
    inUse[s] = (device[d].nonce == offered[s] -> offered[s] : inUse[s]);
    if
#ifdef DROP_ON_ID
    :: sent[d] <= device[d].confirmed && sent[d] > last[s] -> open[d] = false   /* the server expects what is gone */
#endif
    :: sent[d] <= last[s] && dot(s, sent[d]) == device[d].id[sent[d]]                /* known: answered as before */
    :: sent[d] <= last[s] && dot(s, sent[d]) != device[d].id[sent[d]] ->
#ifdef NO_DOT_IDENTITY
        skip                                                     /* answered as known: swallowed */
#else
        mustRenew[s] = true; open[d] = false; sent[d] = 0
#endif
#ifdef DROP_ON_ID
    :: sent[d] == last[s] + 1 && sent[d] > device[d].confirmed -> merge(s, sent[d], device[d].id[sent[d]])
#else
    :: sent[d] == last[s] + 1 -> merge(s, sent[d], device[d].id[sent[d]])
#endif
    :: sent[d] > last[s] + 1 -> sent[d] = last[s]                /* expect n */
    fi;
    s = 0
}

inline copy_replica(to, from) {
    to.site = from.site; to.nonce = from.nonce; to.number = from.number;
    to.sealed = from.sealed; to.confirmed = from.confirmed;
    k = 1;
    do
    :: k <= SEQS -> to.id[k] = from.id[k]; k++
    :: else -> break
    od;
    k = 0
}

/* A hello that was on its way while its device went on with another connection. */
inline late_hello() {
    if
#ifdef NO_NUMBER
    :: true ->
#else
    :: lateNumber > helloSeen[lateAt] ->
#endif
        if
        :: lateNonce == offered[lateAt] -> inUse[lateAt] = lateNonce
        :: lateNonce != offered[lateAt]
        fi;
        helloSeen[lateAt] = (lateNumber > helloSeen[lateAt] -> lateNumber : helloSeen[lateAt]);
        nonces++; offered[lateAt] = nonces
#ifndef NO_NUMBER
    :: else
#endif
    fi;
    lateNonce = 0; lateNumber = 0; lateAt = 0
}

/* One session without a fault. */
inline settle(d) {
    if
    :: device[d].used ->
        greet(d, true);
        do
        :: open[d] && sent[d] < device[d].sealed -> push(d)
        :: else -> break
        od;
        pull(d)
    :: else
    fi
}

inline has_merged(d) {
    k = 1;
    do
    :: k <= device[d].sealed -> assert(mergedCount[device[d].id[k]] == 1); k++
    :: else -> break
    od;
    k = 0
}

active proctype World() {
    byte s, k, q;
    bool strange;
    byte d;
    d_step { device[0].used = true; device[0].nonce = 1; inUse[0] = 1; offered[0] = 1 };
    do
    :: d_step { device[1].used -> d = 1 - d }

    :: d_step { ids < IDS && device[d].sealed < SEQS ->
        ids++; device[d].sealed++; device[d].id[device[d].sealed] = ids }

    :: d_step { hellos < HELLOS -> hellos++; greet(d, true) }
    :: d_step { hellos < HELLOS && losses > 0 -> hellos++; losses--; greet(d, false) }
    :: d_step { open[d] && sent[d] < device[d].sealed -> push(d) }
    :: d_step { open[d] && device[d].confirmed < device[d].sealed && last[device[d].site] > 0 -> pull(d) }

    :: d_step { !imaged -> imaged = true; copy_replica(image, device[0]) }
    :: d_step { imaged && !restoredOnce && !copied -> restoredOnce = true; open[0] = false; sent[0] = 0;
        copy_replica(device[0], image) }
    :: d_step { imaged && !copied && !restoredOnce -> copied = true; device[1].used = true;
        copy_replica(device[1], image) }

    /* A hello stays under way; the device connects anew. */
    :: d_step { !open[d] && !lateHelloUsed && hellos < HELLOS -> lateHelloUsed = true; device[d].number++;
        lateNonce = device[d].nonce; lateNumber = device[d].number; lateAt = device[d].site }
    :: d_step { lateNumber > 0 -> late_hello() }

    :: lateNumber == 0 -> break
    od;

    /* Healing: three sessions each without a fault, and everything that a device has is merged, once (P2, P26). */
    atomic {
        d = 0;
        settle(0); settle(1); settle(0); settle(1); settle(0); settle(1);
        assert(device[0].confirmed == device[0].sealed);
        assert(device[1].confirmed == device[1].sealed);
        assert(!device[1].used || device[0].site != device[1].site);   /* P18 */
        has_merged(0); has_merged(1)
    }
}
