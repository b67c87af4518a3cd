/*
 * A session: hello, push, acknowledge, pull; one replica, one server, and other devices that write too.
 *
 * The network loses and duplicates messages, and cuts. Messages of an earlier connection may still arrive while the
 * next one is open (each connection is a queue of its own). Either side may be killed between any two steps.
 *
 * Rules: A1 and P16 (acknowledged = durable, one position each), I4 (seq order; a gap is answered "expect n"),
 *        I2 (hellos are numbered, and a later one ends the former session), P4 (nothing counts twice), P11 (an own write
 *        never leaves the view), P17 (the cursor never skips), P26 (sync ends).
 * In code: Client = ClientSession and Replica (apply: rows and cursor in one transaction; the outbox);
 *          Server = ServerSession, Committer.take and Greeting. `hello`, `sealed`, `cursor`, `rows`, `outbox` are in the
 *          replica's file, `state`, `sent` and `target` in ClientSession; `log`, `last` and `helloSeen` are in the
 *          store, `session` and `streamed` in ServerSession.
 * Left out: credit, pages and time; identity is in identity.pml.
 *
 * broken: NO_KNOWN      a dot that was taken is taken again (P4)
 * broken: NO_GAP        a seq is taken out of order (I4)
 * broken: ACK_EARLY     acknowledge leaves before the transaction is durable (P16)
 * broken: DROP_AT_ACK   the outbox forgets at acknowledge, before the stream brings the commit (P11)
 * broken: CURSOR_APART  rows and cursor are two transactions (P17)
 * broken: NO_JOIN       a batch is applied although it begins after the cursor (P17)
 */
#ifdef FULL
#define COMMITS 3
#define OTHERS 2
#define FAULTS 4
#else
#define COMMITS 2
#define OTHERS 1
#define FAULTS 3
#endif
#define POSITIONS (COMMITS + OTHERS)
/* Every session without a fault carries all that was there when it began. */
#define SESSIONS (1 + FAULTS + COMMITS + OTHERS)
#define OTHER 9

mtype = { HELLO, WELCOME, PUSH, ACK, EXPECT, BATCH };
mtype = { idle, greeting, open };

/* One queue a connection and direction; connection n uses n % 2, and its messages say n. */
chan up[2] = [3] of { mtype, byte, byte, byte };
chan down[2] = [3] of { mtype, byte, byte, byte };

byte faults = FAULTS;

/* The replica's file. */
byte hello, sealed, cursor, recorded;
byte rows[POSITIONS + 3];      /* how often the position's commit entered the confirmed rows */
bool outbox[COMMITS + 1];
byte half;                     /* CURSOR_APART: rows are written up to here, the cursor is not */

/* ClientSession. */
mtype state = idle;
byte sent, answered, target;

/* The store. */
byte log[POSITIONS + 3];
byte head, last, helloSeen, durable, others = OTHERS;

/* ServerSession; 0 = none. */
byte session, streamed;

#define conn (hello % 2)
#define room(queue) (len(queue) < 2)

inline transmit(queue, number, kind, one, two) {
    if
    :: queue!kind, number, one, two
    :: faults > 0 -> faults--                                    /* lost */
    :: faults > 0 && room(queue) -> faults--; queue!kind, number, one, two; queue!kind, number, one, two
    fi
}

inline empty_queue(queue) {
    do
    :: nempty(queue) -> queue?_, _, _, _
    :: empty(queue) -> break
    od
}

inline entered(position) {
    rows[position]++;
    assert(rows[position] == 1);                                 /* P4 */
    if
    :: log[position] != OTHER -> outbox[log[position]] = false   /* the stream is where a commit leaves the outbox */
    :: else
    fi
}

inline apply_batch(from, to) {
#ifndef NO_JOIN
    if
    :: from > cursor -> state = idle                             /* broken: the session ends, nothing is applied */
    :: else ->
#endif
#ifdef CURSOR_APART
        half = cursor;
        do
        :: half < to -> half++; entered(half)
        :: else -> break
        od
#else
        do
        :: cursor < to ->
#ifdef NO_JOIN
            if
            :: from > cursor -> cursor = from
            :: else
            fi;
#endif
            cursor++;
            entered(cursor)
        :: else -> break
        od
#endif
#ifndef NO_JOIN
    fi
#endif
}

#define converged (cursor == head && last == sealed && half <= cursor)

active proctype Client() {
    byte a, b;
    do
    :: d_step { sealed < COMMITS -> sealed++; outbox[sealed] = true }

    :: atomic { state == idle && half <= cursor && !converged ->
        assert(hello < SESSIONS);                                /* P26 */
        hello++;
        empty_queue(up[conn]); empty_queue(down[conn]);
        state = greeting;
        transmit(up[conn], hello, HELLO, hello, cursor) }

    :: atomic { state == greeting && down[conn]?[WELCOME, eval(hello), _, _] -> down[conn]?WELCOME, _, a, b;
        state = open; sent = a; answered = a; target = b; a = 0; b = 0 }

    :: atomic { state == open && half <= cursor && sent < sealed && room(up[conn]) ->
        sent++;
        transmit(up[conn], hello, PUSH, sent, 0) }

    :: atomic { state == open && down[conn]?[ACK, eval(hello), _, _] -> down[conn]?ACK, _, a, b;
        assert(a <= sent || faults < FAULTS);                    /* only an older connection's could be ahead */
        answered = (a > answered -> a : answered);
        recorded = (a > recorded -> a : recorded);
        target = (b > target -> b : target);
#ifdef DROP_AT_ACK
        outbox[a] = false;
        assert(rows[b] == 1);                                    /* P11: it is seen neither pending nor confirmed */
#endif
        a = 0; b = 0 }

    :: atomic { state == open && down[conn]?[EXPECT, eval(hello), _, _] -> down[conn]?EXPECT, _, a, b;
        sent = a - 1; answered = a - 1; a = 0; b = 0 }

    :: atomic { state == open && half <= cursor && down[conn]?[BATCH, eval(hello), _, _] -> down[conn]?BATCH, _, a, b;
        apply_batch(a, b);
        a = 0; b = 0 }

#ifdef CURSOR_APART
    :: atomic { half > cursor -> cursor = half }
#endif

    /* A second welcome on one connection breaks the protocol. */
    :: atomic { state == open && down[conn]?[WELCOME, eval(hello), _, _] -> state = idle }
    :: atomic { state == greeting && down[conn]?[_, eval(hello), _, _] && !down[conn]?[WELCOME, eval(hello), _, _] ->
        state = idle }
    :: atomic { state != idle && nempty(down[conn]) && !down[conn]?[_, eval(hello), _, _] ->
        down[conn]?_, _, _, _ }                                  /* an older connection's: nobody hears it */

    :: d_step { state == open && sent == answered && sent >= sealed && cursor >= target -> state = idle }
    :: d_step { state == open && half <= cursor && faults > 0 -> faults--; state = idle }      /* cut */
    :: d_step { faults > 0 -> faults--; state = idle; sent = 0; answered = 0; target = 0; half = 0 } /* killed */
    :: atomic { state != idle && timeout -> state = idle }                                      /* deadline */

    :: state == idle && converged && sealed == COMMITS && others == 0 -> break
    od;
    skip;

    /* At rest: everything is everywhere, once. */
    d_step {
        a = 1;
        do
        :: a <= POSITIONS -> assert(rows[a] == 1); a++
        :: else -> break
        od;
        a = 1;
        do
        :: a <= COMMITS -> assert(!outbox[a]); a++
        :: else -> break
        od
    }
}

inline append(what) {
    head++;
    log[head] = what;
#ifndef ACK_EARLY
    durable = head
#endif
}

inline position_of(seq, p) {
    p = head;
    do
    :: p > 0 && log[p] != seq -> p--
    :: else -> break
    od
}

inline take(c, seq) {
    byte p;
    if
#ifdef NO_KNOWN
    :: seq <= last && head < POSITIONS -> append(seq); p = head; transmit(down[c], session, ACK, seq, p)
    :: seq <= last && head == POSITIONS -> position_of(seq, p); transmit(down[c], session, ACK, seq, p)
#else
    :: seq <= last -> position_of(seq, p); transmit(down[c], session, ACK, seq, p)
#endif
#ifdef NO_GAP
    :: seq > last ->
#else
    :: seq > last + 1 -> transmit(down[c], session, EXPECT, last + 1, 0)
    :: seq == last + 1 ->
#endif
        assert(seq == last + 1);                                 /* I4: else seq - 1 can never be taken any more */
        last = seq;
        append(seq);
        transmit(down[c], session, ACK, seq, head)
    fi;
    p = 0
}

inline serve(c) {
    if
    :: up[c]?HELLO, _, a, b ->
        if
        :: a > helloSeen ->                                      /* I2 */
            helloSeen = a;
            assert(b <= head);
            session = a; streamed = b;
            transmit(down[c], session, WELCOME, last, head)
        :: else                                                  /* overtaken */
        fi
    :: up[c]?PUSH, n, a, b ->
        if
        :: n == session -> take(c, a)
        :: else                                                  /* its session has ended */
        fi
    fi;
    a = 0; b = 0; c = 0; n = 0
}

active proctype Server() {
    byte a, b, c, n;
end:
    do
    :: atomic { nempty(up[0]) && room(down[0]) -> c = 0; serve(c) }
    :: atomic { nempty(up[1]) && room(down[1]) -> c = 1; serve(c) }

    :: d_step { others > 0 -> others--; append(OTHER) }

    :: atomic { session > 0 && streamed < durable && room(down[session % 2]) ->
        if
        :: a = durable
        :: durable > streamed + 1 -> a = streamed + 1
        fi;
        transmit(down[session % 2], session, BATCH, streamed, a);
        streamed = a; a = 0 }

#ifdef ACK_EARLY
    :: d_step { durable < head -> durable = head }
#endif

    :: d_step { faults > 0 && (session > 0 || durable < head) -> /* killed: what is not durable is gone */
        faults--; session = 0; streamed = 0;
        do
        :: head > durable ->
            if
            :: log[head] == OTHER -> others++
            :: else -> last = log[head] - 1
            fi;
            log[head] = 0; head--
        :: else -> break
        od;
        assert(recorded <= last) }                               /* P16 */
    od
}
