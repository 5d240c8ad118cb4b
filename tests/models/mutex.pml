/* The mutex of sync/mutex.hpp, for the model checker spin: N processes, of which some die at any
 * step. Run by check_model.sh; every interleaving is explored. The processors' reordering is not
 * modelled: all is about one word, and tests/ordering/mutex_weak_test.cpp looks at its orders.
 *
 * Checked: one at a time among the living; who comes after an owner that died in the middle is told
 * so; and nobody sleeps for ever (the checker's invalid end state). The end of a slice is there only
 * once somebody has died: without a death, a wake that does not come is lost for ever.
 *
 * A killed process leaves the futex's queue, and its tenure ends, at its last step. Tenures are the
 * numbers of the processes, from 1 on: they never come again.
 *
 *   -DDEATHS=n    so many may die
 *   -DIMPATIENT   process 1 gives up waiting at any time
 * Mutants, each of which must fail:
 *   NO_REMARK     who has slept takes the mutex without the mark that others may sleep
 *   NO_PASS_ON    with IMPATIENT: who gives up leaves no mark
 *   SILENT        who takes over from the dead does not mark the state suspect
 *   BLIND         who has proved a death stores its own word whatever stands there by then
 */

#ifndef N
#define N 3
#endif
#ifndef TURNS
#define TURNS 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

/* The word. */
byte owner;
bool suspect, contended;

bool asleep[N + 1];
bool dead[N + 1];
byte deaths;

/* What the mutex guards: who is inside, and whether it is half changed. */
byte inside;
bool half;

#define word_is(o, s, c) (owner == o && suspect == s && contended == c)

/* Between any two steps. */
#define MAY_DIE \
  if \
  :: atomic { deaths < DEATHS -> deaths++; dead[me] = true; asleep[me] = false; goto end } \
  :: true \
  fi

inline wake_one() {
  atomic {
    if
    :: asleep[1] -> asleep[1] = false
    :: asleep[2] -> asleep[2] = false
#if N > 2
    :: asleep[3] -> asleep[3] = false
#endif
    :: else
    fi
  }
}

proctype process(byte me) {
  byte turn, o;
  bool s, c, others, told, slice, given_up;
  do
  :: turn == TURNS -> break
  :: turn < TURNS ->
     d_step { turn++; others = false; told = false; slice = false; given_up = false }

look:
     MAY_DIE;
     d_step { o = owner; s = suspect; c = contended }
     MAY_DIE;
     if
     :: o == 0 ->
        assert(!s);  /* not recoverable: here, all declare */
        atomic {
          if
          :: word_is(o, s, c) -> owner = me; contended = c || others; goto locked
          :: else -> goto look
          fi
        }
     :: o != 0 && slice ->
        slice = false;
        if
        :: dead[o] ->
           MAY_DIE;
           atomic {
             if
#ifdef BLIND
             :: true ->
#else
             :: word_is(o, s, c) ->
#endif
                owner = me; contended = c || others;
#ifndef SILENT
                suspect = true;
                told = true;
#endif
                goto locked
#ifndef BLIND
             :: else -> goto look
#endif
             fi
           }
        :: else -> goto look
        fi
     :: o != 0 && !slice && given_up ->
#ifndef NO_PASS_ON
        atomic {
          if
          :: !others || c
          :: others && !c && word_is(o, s, c) -> contended = true
          :: else -> goto look
          fi
        };
#endif
        goto next
     :: o != 0 && !slice && !given_up ->
        atomic {
          if
          :: word_is(o, s, c) -> contended = true
          :: else -> goto look
          fi
        };
#ifndef NO_REMARK
        others = true;
#endif
        MAY_DIE;
        /* The kernel compares and queues in one step. */
        atomic {
          if
          :: word_is(o, s, true) -> asleep[me] = true
          :: else -> goto look
          fi
        };
        if
        :: !asleep[me]
        :: atomic { deaths > 0 && asleep[me] -> asleep[me] = false; slice = true }
#ifdef IMPATIENT
        :: me == 1 -> given_up = true; asleep[me] = false
#endif
#if DEATHS > 0
        :: atomic { deaths < DEATHS -> deaths++; dead[me] = true; asleep[me] = false; goto end }
#endif
        fi;
        goto look
     fi;

locked:
     MAY_DIE;
     if
     :: told -> half = false; inside = 0
     :: else
     fi;
     assert(inside == 0);
     inside = me;
     MAY_DIE;
     assert(!half);
     half = true;
     MAY_DIE;
     assert(inside == me);
     half = false;
     inside = 0;
     MAY_DIE;
     if
     :: told -> suspect = false  /* make_consistent(): its own word */
     :: else
     fi;
     MAY_DIE;
     atomic {
       assert(owner == me);
       c = contended; owner = 0; contended = false
     }
     MAY_DIE;
     if
     :: c -> wake_one()
     :: else
     fi;
next:
     skip;
     d_step { o = 0; s = false; c = false }
  od;
end:
  skip
}

init {
  atomic {
    run process(1);
    run process(2);
#if N > 2
    run process(3);
#endif
  }
}
