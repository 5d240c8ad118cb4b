/* The shared mutex of sync/shared_mutex.hpp, for the model checker spin: WRITERS processes that
 * write and READERS that read, of which some die at any step. Run by check_model.sh; every
 * interleaving is explored. The processors' reordering is not modelled:
 * tests/ordering/shared_mutex_weak_test.cpp looks at that.
 *
 * Checked: who writes is alone among the living; whoever comes after a writer that died in the
 * middle is told so; and nobody sleeps for ever (the checker's invalid end state). The end of a
 * slice is there only once somebody has died: without a death, a wake that does not come is lost
 * for ever.
 *
 * A killed process leaves the futex's queue, and its tenure ends, at its last step. Tenures are the
 * numbers of the processes, from 1 on, writers first: they never come again.
 *
 *   -DWRITERS=n -DREADERS=n -DWORDS=n   WORDS: how many may read at a time
 *   -DDEATHS=n    so many may die
 *   -DIMPATIENT   process 1, a writer, gives up waiting for readers at any time
 * Mutants, each of which must fail:
 *   LOOK_FIRST    a reader looks for a writer before it says that it reads, and not after
 *   NO_LAST_LOOK  who says that it waits for readers falls asleep without another look at them
 *   QUIET         a reader that goes back before a writer wakes nobody who waits for its word
 *   WAKE_ONE      a writer that goes wakes one
 *   SILENT        who clears a dead writer's word does not mark the state suspect
 *   STALE         who has waited for readers does not take back that it waits
 *   BLIND         a dead reader's word is cleared whatever stands there by then
 */

#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef READERS
#define READERS 2
#endif
#ifndef WORDS
#define WORDS 1
#endif
#ifndef TURNS
#define TURNS 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#define N (WRITERS + READERS)

/* The words. */
byte owner;
bool suspect, contended;
byte rings;
bool mark;
byte waiting;
byte readers[WORDS + 1];

bool asleep_writer[N + 1];  /* on the writer's word */
bool asleep_rings[N + 1];
bool dead[N + 1];
byte deaths;

/* What the mutex guards: who is inside, and whether it is half changed. */
byte writes;
bool reads[N + 1];
bool half;

#define word_is(o, s, c) (owner == o && suspect == s && contended == c)
#define no_writer (writes == 0 || dead[writes])

#define DIE deaths++; dead[me] = true; asleep_writer[me] = false; asleep_rings[me] = false; goto end
/* Between any two steps. */
#define MAY_DIE \
  if \
  :: atomic { deaths < DEATHS -> DIE } \
  :: true \
  fi

/* `sleeper`: the mark of process i. */
inline wake_all(sleeper) {
  d_step {
    i = 1;
    do
    :: i <= N && sleeper -> sleeper = false; i++;
#ifdef WAKE_ONE
       break
#endif
    :: i <= N && !sleeper -> i++
    :: i > N -> break
    od;
    i = 0
  }
}

/* Once asleep: until woken, or the end of a slice. */
#define SLEEP(asleep) \
  if \
  :: !asleep[me] \
  :: atomic { deaths > 0 && asleep[me] -> asleep[me] = false; slice = true } \
  :: atomic { deaths < DEATHS && asleep[me] -> DIE } \
  fi

/* Marks the writer's word as it was read, and sleeps on it. */
#define SLEEP_ON_WRITER \
  atomic { \
    if \
    :: word_is(o, s, c) -> contended = true \
    :: else -> goto look \
    fi \
  }; \
  MAY_DIE; \
  atomic { \
    if \
    :: word_is(o, s, true) -> asleep_writer[me] = true \
    :: else -> goto look \
    fi \
  }; \
  SLEEP(asleep_writer); \
  goto look

/* What is left of a dead writer that was seen as (o, s, c), and of which `w` was said. */
#ifdef SILENT
#define left_suspect s
#else
#define left_suspect (s || w != o)
#endif

inline look_for_readers() {
  d_step { any = false; i = 1 };
  do
  :: i <= WORDS -> d_step { any = any || readers[i] != 0; i++ }
  :: i > WORDS -> i = 0; break
  od
}

inline check_alone() {
  d_step {
    i = 1;
    do
    :: i <= N -> assert(!reads[i] || dead[i]); i++
    :: i > N -> i = 0; break
    od
  }
}

proctype writer(byte me) {
  byte turn, o, w, i, said;
  bool s, c, any, slice, told;
  do
  :: turn == TURNS -> break
  :: turn < TURNS ->
     turn++;
look:
     MAY_DIE;
     d_step { o = owner; s = suspect; c = contended; w = 0 };
     MAY_DIE;
     if
     :: o == 0 ->
        atomic {
          if
          :: word_is(o, s, c) -> owner = me; goto mine
          :: else -> goto look
          fi
        }
     :: o != 0 && slice ->
        slice = false;
        if
        :: dead[o] ->
           w = waiting;
           MAY_DIE;
           atomic {
             if
             :: word_is(o, s, c) -> suspect = left_suspect; owner = me; goto mine
             :: else -> goto look
             fi
           }
        :: else -> goto look
        fi
     :: o != 0 && !slice -> SLEEP_ON_WRITER
     fi;

mine:
     MAY_DIE;
     waiting = me;
     slice = false;
scan:
     MAY_DIE;
     look_for_readers();
     if
     :: !any -> goto locked
     :: any && slice ->
        slice = false;
        i = 1;
        do
        :: i <= WORDS ->
           w = readers[i];
           if
           :: w != 0 && dead[w] ->
              MAY_DIE;
              d_step {
                if
#ifdef BLIND
                :: true -> readers[i] = 0
#else
                :: readers[i] == w -> readers[i] = 0
                :: else
#endif
                fi
              }
           :: else
           fi;
           i++
        :: i > WORDS -> i = 0; break
        od;
        goto scan
#ifdef IMPATIENT
     :: any && me == 1 ->
        waiting = 0;
        goto unlock
#endif
     :: any && !slice ->
        d_step { mark = true; said = rings };
        MAY_DIE;
#ifndef NO_LAST_LOOK
        look_for_readers();
#endif
        atomic {
          if
          :: any && mark && rings == said -> asleep_rings[me] = true
          :: else -> goto scan
          fi
        };
        SLEEP(asleep_rings);
        goto scan
     fi;

locked:
     MAY_DIE;
#ifndef STALE
     waiting = 0;
#endif
     told = suspect;
     MAY_DIE;
     assert(no_writer);
     check_alone();
     if
     :: told -> half = false
     :: else
     fi;
     assert(!half);
     writes = me;
     MAY_DIE;
     half = true;
     MAY_DIE;
     assert(writes == me);
     check_alone();
     half = false;
     writes = 0;
     MAY_DIE;
     if
     :: told -> suspect = false  /* make_consistent(): its own word */
     :: else
     fi;
     told = false;
unlock:
     MAY_DIE;
     atomic { assert(owner == me); c = contended; owner = 0; contended = false };
     MAY_DIE;
     if
     :: c -> wake_all(asleep_writer[i])
     :: else
     fi;
     d_step { o = 0; s = false; c = false; w = 0; any = false; slice = false; said = 0 }
  od;
end:
  skip
}

proctype reader(byte me) {
  byte turn, o, w, i, at, said;
  bool s, c, slice, asked, back;
  do
  :: turn == TURNS -> break
  :: turn < TURNS ->
     turn++;
look:
     MAY_DIE;
     d_step { o = owner; s = suspect; c = contended; w = 0; asked = false; back = false };
     MAY_DIE;
     if
     :: o == 0 -> goto enter
     :: o != 0 && slice ->
        slice = false;
        if
        :: dead[o] ->
           w = waiting;
           MAY_DIE;
           atomic {
             if
             :: word_is(o, s, c) -> suspect = left_suspect; owner = 0; contended = false
             :: else -> goto look
             fi
           };
           MAY_DIE;
           if
           :: c -> wake_all(asleep_writer[i])
           :: else
           fi
        :: else
        fi;
        goto look
     :: o != 0 && !slice -> SLEEP_ON_WRITER
     fi;

enter:
     i = 1;
     do
     :: i > WORDS -> break
     :: i <= WORDS ->
        atomic {
          if
          :: readers[i] == 0 -> readers[i] = me; at = i; goto stay
          :: else -> i++
          fi
        }
     od;
     /* All words are taken. */
     MAY_DIE;
     if
     :: slice ->
        slice = false;
        i = 1;
        do
        :: i > WORDS -> break
        :: i <= WORDS ->
           w = readers[i];
           if
           :: w != 0 && dead[w] ->
              MAY_DIE;
              atomic {
                if
                :: readers[i] == w -> readers[i] = me; at = i; goto stay
                :: else
                fi
              }
           :: else
           fi;
           i++
        od;
        goto look
     :: !slice && !asked ->
        d_step { mark = true; said = rings; asked = true };
        MAY_DIE;
        goto enter
     :: !slice && asked ->
        atomic {
          if
          :: mark && rings == said -> asleep_rings[me] = true
          :: else -> goto look
          fi
        };
        SLEEP(asleep_rings);
        goto look
     fi;

stay:
     MAY_DIE;
#ifdef LOOK_FIRST
     d_step { o = 0; s = false };
#else
     d_step { o = owner; s = suspect };
#endif
     if
     :: o == 0 && !s ->
        MAY_DIE;
        assert(no_writer && !half);
        reads[me] = true;
        MAY_DIE;
        assert(no_writer && !half);
        reads[me] = false
     :: o == 0 && s  /* told, and does not read */
     :: o != 0 -> back = true
     fi;
     MAY_DIE;
     atomic { assert(readers[at] == me); readers[at] = 0 };
     MAY_DIE;
     if
#ifdef QUIET
     :: mark && !back ->
#else
     :: mark ->
#endif
        d_step { rings++; mark = false };
        MAY_DIE;
        wake_all(asleep_rings[i])
     :: else
     fi;
     if
     :: back -> goto look
     :: else
     fi;
     d_step { o = 0; s = false; c = false; w = 0; at = 0; said = 0; slice = false; asked = false }
  od;
end:
  skip
}

init {
  byte id = 1;
  atomic {
    do
    :: id <= WRITERS -> run writer(id); id++
    :: id > WRITERS && id <= N -> run reader(id); id++
    :: id > N -> break
    od
  }
}
