/* The protocol of mpmc_ring (core/include/rondo/core/mpmc_ring_words.hpp), for spin.
 *
 * NP producers and NC consumers on a ring of N slots. A killer may end any of them between any two
 * of their steps, DEATHS times; whoever is blocked recovers the dead, and may be killed at that too.
 * Any of them may be paused anywhere, as spin tries all interleavings. When all have ended or died, a
 * survivor recovers, drains, and checks: whatever was committed came out, nothing came out twice
 * but what is marked, and all slots are free again. On the way, no owner who lives is ever robbed.
 *
 * Each access to a shared word is a step of its own (STEP). Memory is sequentially consistent here;
 * that weaker orders suffice is the business of tests/ordering and of docs/mpmc.md.
 *
 * Mutants: -DNO_ANNOUNCE (nobody's claim is on record), -DNO_SCAN (recovery doesn't look at live
 * participants), -DRECORDS_FIRST (recovery clears the record, then turns the slots), -DLOOK_FIRST
 * (recovery looks at positions and records, then asks who is dead).
 */
#ifndef NP
#define NP 2
#endif
#ifndef NC
#define NC 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef SENDS
#define SENDS 1 /* messages of each producer */
#endif
#ifndef BATCH
#define BATCH 1 /* positions claimed or taken at once, at most */
#endif
#ifndef TRIES
#define TRIES 2 /* vain attempts before one gives up */
#endif
#define N 2
#define MORTALS (NP + NC)
#define SURVIVOR MORTALS
#define ALL (MORTALS + 1)
#define MESSAGES (NP * SENDS)
#define GARBAGE 200

/* state words: position and kind */
#define FREE 0
#define WRITTEN 1
#define TOMBSTONE 2
#define ORPHANED 3
#define ADOPTED(who) (4 + (who))
#define WORD(p, kind) ((p) * 16 + (kind))

/* records: position and count */
#define RECORD(p, n) ((p) * 4 + (n))
#define COVERS(r, q) ((r) % 4 != 0 && (q) >= (r) / 4 && (q) < (r) / 4 + (r) % 4)

byte tail, head;
byte state[N];
byte payload[N];
byte record[ALL]; /* producers: claiming; consumers and the survivor: taking */

bit dead[ALL];
byte lock_of[ALL]; /* who recovers it, plus 1 */
byte deaths;
byte ended;
bit closing;

/* what really happened, for the assertions */
bit committed[MESSAGES + 1];
byte fresh[MESSAGES + 1];  /* deliveries without a mark */
byte marked[MESSAGES + 1]; /* deliveries with a mark */
byte holder[MESSAGES + 1]; /* which consumer owns it, plus 1 */

#define IS_DEAD(who) (dead[who] && lock_of[who] == 0)
#define STEP atomic { if :: dead[me] -> goto stop :: else fi;
#define PETS }

/* The message in slot p comes into the hands of `me`. */
inline own(p) {
  m = payload[(p) % N];
  assert(m >= 1 && m <= MESSAGES);
  assert(holder[m] == 0 || dead[holder[m] - 1]);
  holder[m] = me + 1;
}

inline announce(p, n) {
#ifndef NO_ANNOUNCE
  STEP record[me] = RECORD(p, n); PETS;
#endif
  skip
}

inline clear_if_stale() {
  if
  :: stale -> STEP record[me] = 0; stale = 0; PETS
  :: else
  fi
}

/* One pass. The dead are locked first and stay so; then everything is looked at, once. */
inline recover() {
#ifdef LOOK_FIRST
  look();
#endif
  d = 0;
  do
  :: d < MORTALS && d == me -> d++
  :: d < MORTALS && d != me ->
     STEP
       if
       :: IS_DEAD(d) && record[d] != 0 -> lock_of[d] = me + 1; locked = locked | (1 << d)
       :: else
       fi;
       d++
     PETS
  :: else -> break
  od;
  if
  :: locked ->
#ifndef LOOK_FIRST
     look();
#endif
     d = 0;
     do
     :: d < MORTALS && ((locked >> d) & 1) -> recover_one(); d++
     :: d < MORTALS && !((locked >> d) & 1) -> d++
     :: else -> break
     od;
     d = 0;
     do
     :: d < MORTALS && ((locked >> d) & 1) -> STEP lock_of[d] = 0; d++ PETS
     :: d < MORTALS && !((locked >> d) & 1) -> d++
     :: else -> break
     od
  :: else
  fi;
  atomic { d = 0; locked = 0; tail_seen = 0; head_seen = 0; o = 0; do :: o < ALL -> seen[o] = 0; o++ :: else -> break od; o = 0 }
}

/* Looks on a side where nobody is locked come to nothing; they are left out. */
#ifdef LOOK_FIRST
#define CONCERNS(who) 1
#else
#define CONCERNS(who) ((who) < NP -> locked & ((1 << NP) - 1) : locked >> NP)
#endif

/* The positions reached, and what those who are not known to be dead have on record. */
inline look() {
  if
  :: CONCERNS(0) -> STEP tail_seen = tail; PETS
  :: else
  fi;
  if
  :: CONCERNS(NP) -> STEP head_seen = head; PETS
  :: else
  fi;
  o = 0;
  do
  :: o < ALL && CONCERNS(o) && !((locked >> o) & 1) -> STEP seen[o] = record[o]; o++ PETS
  :: o < ALL && !(CONCERNS(o) && !((locked >> o) & 1)) -> o++
  :: else -> break
  od;
  o = 0
}

inline recover_one() {
  STEP r = record[d]; PETS;
#ifdef RECORDS_FIRST
  STEP record[d] = 0; PETS;
#endif
  if :: d < NP -> reached = tail_seen :: else -> reached = head_seen fi;
  settled = 1;
  j = 0;
  do
  :: j < r % 4 ->
     q = r / 4 + j;
     if
     :: q < reached && q + N >= reached -> settle()
     :: else
     fi;
     j++
  :: else -> break
  od;
  if
  :: settled -> STEP record[d] = 0; PETS
  :: else
  fi;
  r = 0; j = 0; q = 0; reached = 0; settled = 0
}

inline settle() {
  STEP s = state[q % N]; PETS;
  robbing = 0; /* is a live one on record for it? */
  if
  :: (d < NP && s == WORD(q, FREE)) || (d >= NP && (s == WORD(q, WRITTEN) || s == WORD(q, TOMBSTONE))) ->
#ifndef NO_SCAN
     atomic {
       o = 0;
       do
       :: o < ALL ->
          if
          :: o != d && ((o < NP) == (d < NP)) && COVERS(seen[o], q) -> robbing = 1
          :: else
          fi;
          o++
       :: else -> break
       od;
       o = 0
     }
#endif
     if
     :: robbing -> settled = 0
     :: else -> turn()
     fi
  :: d >= NP && s == WORD(q, ADOPTED(d)) -> turn()
  :: else
  fi;
  s = 0; robbing = 0
}

inline turn() {
  STEP
    if
    :: state[q % N] == s ->
       if
       :: d < NP -> state[q % N] = WORD(q, TOMBSTONE)
       :: d >= NP && s == WORD(q, TOMBSTONE) -> state[q % N] = WORD(q + N, FREE)
       :: else -> state[q % N] = WORD(q, ORPHANED)
       fi
    :: else
    fi
  PETS
}

/* Takes what can be taken at p, once. got: 0 nothing, 1 something. */
inline take() {
  got = 0;
  STEP w = state[p % N]; PETS;
  if
  :: w == WORD(p, WRITTEN) ->
     n = 1;
#if BATCH > 1
     STEP if :: state[(p + 1) % N] == WORD(p + 1, WRITTEN) -> n = 2 :: else fi; PETS;
#endif
     announce(p, n);
     STEP
       if
       :: head == p ->
          head = p + n; got = 1; stale = 0;
          own(p);
#if BATCH > 1
          if :: n == 2 -> own(p + 1) :: else fi
#endif
       :: else -> p = head; stale = 1
       fi
     PETS;
     if
     :: got ->
        i = 0;
        do
        :: i < n ->
           STEP m = payload[p % N]; assert(m >= 1 && m <= MESSAGES); fresh[m]++; PETS;
           STEP assert(state[p % N] == WORD(p, WRITTEN)); state[p % N] = WORD(p + N, FREE); holder[m] = 0; PETS;
           p++; i++
        :: else -> break
        od;
        i = 0
     :: else
     fi;
     n = 0
  :: w == WORD(p, TOMBSTONE) ->
     announce(p, 1);
     STEP
       if
       :: head == p -> head = p + 1; got = 1
       :: else -> p = head
       fi;
       stale = 1
     PETS;
     if
     :: got -> STEP assert(state[p % N] == WORD(p, TOMBSTONE)); state[p % N] = WORD(p + N, FREE); PETS; p++
     :: else
     fi
  :: w == WORD(p, FREE) || w / 16 < p -> /* nothing there */
     adopt();
     clear_if_stale()
  :: else -> STEP p = head; PETS
  fi;
  w = 0; m = 0
}

/* Takes over one orphaned message, if there is any. */
inline adopt() {
  i = 0;
  do
  :: i < N ->
     STEP w = state[i]; PETS;
     if
     :: w % 16 == ORPHANED ->
        announce(w / 16, 1);
        stale = 1;
        STEP
          if
          :: state[i] == w -> state[i] = WORD(w / 16, ADOPTED(me)); own(w / 16); got = 1; stale = 0
          :: else
          fi
        PETS;
        if
        :: got ->
           STEP m = payload[i]; assert(m >= 1 && m <= MESSAGES); marked[m]++; PETS;
           STEP assert(state[i] == WORD(w / 16, ADOPTED(me))); state[i] = WORD(w / 16 + N, FREE); holder[m] = 0; PETS;
           break
        :: else
        fi
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0; w = 0
}

proctype producer(byte me) {
  byte p, n, k, i, w, d, r, j, q, o, s, reached, vain, locked, tail_seen, head_seen;
  byte seen[ALL];
  bit stale, settled, robbing;
  do
  :: k < SENDS && vain < TRIES ->
     STEP w = state[p % N]; PETS;
     if
     :: w == WORD(p, FREE) ->
        n = 1;
#if BATCH > 1
        if
        :: k + 1 < SENDS -> STEP if :: state[(p + 1) % N] == WORD(p + 1, FREE) -> n = 2 :: else fi; PETS
        :: else
        fi;
#endif
        announce(p, n);
        STEP
          if
          :: tail == p -> tail = p + n; w = 1; stale = 0
          :: else -> p = tail; w = 0; stale = 1; vain++
          fi
        PETS;
        if
        :: w == 1 ->
           i = 0;
           do
           :: i < n ->
              STEP assert(state[p % N] == WORD(p, FREE)); payload[p % N] = GARBAGE; PETS;
              STEP payload[p % N] = me * SENDS + k + 1; PETS;
              STEP assert(state[p % N] == WORD(p, FREE)); state[p % N] = WORD(p, WRITTEN); committed[me * SENDS + k + 1] = 1; PETS;
              p++; k++; i++
           :: else -> break
           od
        :: else
        fi;
        n = 0; i = 0
     :: w / 16 < p -> /* full */
        clear_if_stale();
        vain++;
        recover()
     :: else -> STEP p = tail; PETS
     fi;
     w = 0
  :: else -> break
  od;
  clear_if_stale();
stop:
  atomic { p = 0; n = 0; k = 0; i = 0; w = 0; d = 0; r = 0; j = 0; q = 0; o = 0; s = 0; reached = 0; vain = 0;
    stale = 0; settled = 0; robbing = 0; locked = 0; tail_seen = 0; head_seen = 0;
    o = 0; do :: o < ALL -> seen[o] = 0; o++ :: else -> break od; o = 0; ended++ }
}

proctype consumer(byte me) {
  byte p, n, i, w, m, d, r, j, q, o, s, reached, vain, locked, tail_seen, head_seen;
  byte seen[ALL];
  bit stale, settled, robbing, got;
  do
  :: vain < TRIES ->
     take();
     if
     :: !got -> vain++; recover()
     :: else
     fi
  :: else -> break
  od;
  clear_if_stale();
stop:
  atomic { p = 0; n = 0; i = 0; w = 0; m = 0; d = 0; r = 0; j = 0; q = 0; o = 0; s = 0; reached = 0; vain = 0;
    stale = 0; settled = 0; robbing = 0; locked = 0; tail_seen = 0; head_seen = 0;
    o = 0; do :: o < ALL -> seen[o] = 0; o++ :: else -> break od; o = 0; got = 0; ended++ }
}

proctype killer() {
  byte victim, l;
  do
  :: deaths < DEATHS && !closing ->
     select(victim : 0 .. MORTALS - 1);
     atomic {
       if
       :: !closing && !dead[victim] ->
          dead[victim] = 1; deaths++;
          l = 0; /* the kernel frees what it had locked */
          do
          :: l < ALL -> if :: lock_of[l] == victim + 1 -> lock_of[l] = 0 :: else fi; l++
          :: else -> break
          od;
          l = 0
       :: else
       fi;
       victim = 0
     }
  :: break
  od
}

init {
  byte me = SURVIVOR;
  byte p, n, i, w, m, d, r, j, q, o, s, reached, vain, locked, tail_seen, head_seen;
  byte seen[ALL];
  bit stale, settled, robbing, got;
  atomic {
    for (i : 0 .. N - 1) { state[i] = WORD(i, FREE) }
    for (i : 0 .. NP - 1) { run producer(i) }
    for (i : NP .. MORTALS - 1) { run consumer(i) }
    run killer();
    i = 0
  }
  atomic { ended == MORTALS -> closing = 1 }
  p = head;
  do
  :: vain < 3 -> recover(); take(); if :: !got -> vain++ :: else fi
  :: else -> break
  od;
  atomic {
    i = 1;
    do
    :: i <= MESSAGES ->
       assert(fresh[i] <= 1);                              /* twice only with a mark */
       assert(marked[i] == 0 || deaths > 0);
       assert(!committed[i] || fresh[i] + marked[i] >= 1); /* nothing committed is lost */
       assert(committed[i] || fresh[i] + marked[i] == 0);
       i++
    :: else -> break
    od;
    assert(head == tail); /* the capacity is whole */
    i = 0;
    do
    :: i < N -> assert(state[(tail + i) % N] == WORD(tail + i, FREE)); i++
    :: else -> break
    od
  }
stop:
  skip
}
