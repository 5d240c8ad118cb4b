/* The doorbell of sync/doorbell.hpp, for the model checker spin: a publisher and a waiter, on
 * processors with store buffers. Run by check_model.sh; every interleaving is
 * explored. The checker's complaint about a wake that is lost is an invalid end state: the waiter
 * sleeps for ever, and something was published.
 *
 * Each process has a buffer of stores that others do not see yet; they leave it in order, at any
 * later time. A load sees the process's own newest store, or memory. The heavy fence waits until
 * both buffers are empty. This is x86-TSO (Sewell and others, 2010); what weaker processors do
 * besides, the mutant LATE_READ shows for the one load it matters for.
 *
 * There are no time slices here (but see DEADLINE): a lost wake is lost for ever.
 *
 * Variants, by -D:
 *   UNREGISTERED  the publisher always takes the slow path, which has a fence of its own; the
 *                 waiter's fence reaches itself only (also where nobody has membarrier)
 *   DEADLINE      the waiter may wake by itself (its slice ends) at any time, twice in all
 * Mutants, each of which must fail:
 *   NO_HEAVY_FENCE  the waiter doesn't fence
 *   NO_SLOW_FENCE   with UNREGISTERED: the slow path doesn't fence
 *   LATE_READ       the waiter reads `rings` after it said that it sleeps (S1 weakened)
 *   EARLY_LOOK      the waiter looks for messages before it says that it sleeps
 *   ONE_EPISODE     with DEADLINE: all sleeps are the same episode
 */

#define MESSAGES 3
#define BUFFER 4
#ifdef DEADLINE
#define SLICES 2
#else
#define SLICES 0
#endif

/* Words. */
#define PUBLISHED 0  /* by the publisher */
#define RINGS 1      /* by the publisher; the futex */
#define STATE 2      /* by the waiter: 0 awake, n asleep for the n-th time */
#define WORDS 3

byte memory[WORDS];
byte word_in[2 * BUFFER];   /* [who * BUFFER + i]: the i-th buffered store of `who` */
byte value_in[2 * BUFFER];
byte buffered[2];
bool in_futex;

#define PUBLISHER 0
#define WAITER 1

/* The newest value of `word` that `who` sees. The buffer is searched from its young end. */
inline load(who, word, result) {
  d_step {
    result = memory[word];
    at = 0;
    do
    :: at < buffered[who] ->
       if
       :: word_in[who * BUFFER + at] == word -> result = value_in[who * BUFFER + at]
       :: else
       fi;
       at++
    :: else -> break
    od;
    at = 0
  }
}

/* Waits for room in the buffer. */
inline store(who, word, value) {
  atomic {
    buffered[who] < BUFFER ->
    word_in[who * BUFFER + buffered[who]] = word;
    value_in[who * BUFFER + buffered[who]] = value;
    buffered[who]++
  }
}

#define own_fence(who) (buffered[who] == 0)
#ifdef UNREGISTERED
#define heavy_fence() own_fence(WAITER)
#else
#define heavy_fence() (own_fence(PUBLISHER) && own_fence(WAITER))
#endif

/* The processor's side of a buffer: lets the oldest store out. */
proctype drain(byte who) {
  byte i;
end:
  do
  :: d_step {
       buffered[who] > 0 ->
       memory[word_in[who * BUFFER]] = value_in[who * BUFFER];
       i = 1;
       do
       :: i < buffered[who] ->
          word_in[who * BUFFER + i - 1] = word_in[who * BUFFER + i];
          value_in[who * BUFFER + i - 1] = value_in[who * BUFFER + i];
          i++
       :: else -> break
       od;
       buffered[who]--;
       word_in[who * BUFFER + buffered[who]] = 0;
       value_in[who * BUFFER + buffered[who]] = 0;
       i = 0
     }
  od
}

proctype publisher() {
  byte at, message, state, rung, rings;
  do
  :: message < MESSAGES ->
     message++;
     store(PUBLISHER, PUBLISHED, message);
#ifdef UNREGISTERED
     /* watches a word that is never zero */
#ifndef NO_SLOW_FENCE
     own_fence(PUBLISHER);
#endif
     load(PUBLISHER, STATE, state);
#else
     load(PUBLISHER, STATE, state);
     if
     :: state != 0 ->
        own_fence(PUBLISHER);
        load(PUBLISHER, STATE, state)
     :: else
     fi;
#endif
     if
     :: state != 0 && state != rung ->
        rung = state;
        load(PUBLISHER, RINGS, rings);
        store(PUBLISHER, RINGS, rings + 1);
        /* the wake: a full fence, then whoever sleeps in the futex goes on */
        atomic { own_fence(PUBLISHER) -> in_futex = false }
     :: else
     fi;
     d_step { state = 0; rings = 0 }
  :: else -> break
  od
}

proctype waiter() {
  byte at, taken, published, seen, episode, slices = SLICES;
  do
  :: taken < MESSAGES ->
     load(WAITER, PUBLISHED, published);
     if
     :: published > taken ->
        taken = published  /* takes all there is */
     :: else ->
        /* prepare_wait(), a look, then cancel_wait() or commit_wait() */
#ifdef EARLY_LOOK
        load(WAITER, PUBLISHED, published);
#endif
#ifndef LATE_READ
        load(WAITER, RINGS, seen);
#endif
#ifdef ONE_EPISODE
        episode = 1;
#else
        episode++;
#endif
        store(WAITER, STATE, episode);
#ifndef NO_HEAVY_FENCE
        heavy_fence();
#endif
#ifndef EARLY_LOOK
        load(WAITER, PUBLISHED, published);
#endif
#ifdef LATE_READ
        load(WAITER, RINGS, seen);
#endif
        if
        :: published > taken
        :: else ->
           /* The kernel compares the word in memory and queues us, in one step; a system call
            * leaves nothing in the buffer. */
           atomic {
             own_fence(WAITER) ->
             if
             :: memory[RINGS] == seen -> in_futex = true
             :: else
             fi
           };
           if
           :: !in_futex
           :: atomic { slices > 0 -> slices--; in_futex = false }  /* the slice ends */
           fi
        fi;
        store(WAITER, STATE, 0);
        d_step { seen = 0; published = 0 }
     fi
  :: else -> break
  od
}

init {
  atomic {
    run drain(PUBLISHER);
    run drain(WAITER);
    run publisher();
    run waiter()
  }
}
