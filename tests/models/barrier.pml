/* The barrier of sync/barrier.hpp, for the model checker spin: N parties, of which some die at any
 * step, and one may drop. Run by check_model.sh; every interleaving is explored. The processors'
 * reordering is not modelled: tests/ordering/barrier_weak_test.cpp looks at that.
 *
 * Checked: nobody goes on before all who live have arrived; all who live are told the same of each
 * phase; and nobody waits for ever (the checker's invalid end state). The end of a slice is there
 * only once somebody has died, and twice in each phase after each death: so a phase that nobody ends is not over
 * for ever.
 *
 *   -DDEATHS=n   so many may die
 *   -DDROPS      process 1 drops in its second phase
 * Mutants, each of which must fail:
 *   NO_HELP      who waits does not end the phase for one that died before it did
 *   OLD_MARK     who ends the phase goes by a mark that it saw before
 *   BLIND_SLEEP  who falls asleep does not look whether the phase is over
 *   LATE_FINDING with DEATHS=2: who looks for the dead does not look whether the phase is over by
 *                then, and takes one that has arrived in the next one for one that has not in this
 *   UNTOLD       the mark of a dead party does not say in which phase it was missed
 *   LOOK_FIRST   who arrives looks at the others before it says so
 */

#ifndef N
#define N 3
#endif
#ifndef PHASES
#define PHASES 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

#define DROPPED 100
#define DIED 101

/* The words. Party i sits on seat i. */
byte phase;
bool mark;
byte whose[N + 1];
byte arrived[N + 1];

bool asleep[N + 1];
bool dead[N + 1];
byte deaths;
byte slices[N + 1];  /* since the last death, in this phase */

/* What is checked: how far each has come, and what was told of each phase (1: nothing, 2: a death). */
byte reached[N + 1];
byte told[PHASES];

#if N > 2
#define ONE_DIES \
  deaths++; dead[me] = true; asleep[me] = false; slices[1] = 0; slices[2] = 0; slices[3] = 0
#else
#define ONE_DIES deaths++; dead[me] = true; asleep[me] = false; slices[1] = 0; slices[2] = 0
#endif
/* Between any two steps. */
#define MAY_DIE \
  if \
  :: atomic { deaths < DEATHS -> ONE_DIES; goto end } \
  :: true \
  fi

inline wake_all() {
  d_step {
    i = 1;
    do
    :: i > N -> break
    :: i <= N -> asleep[i] = false; i++
    od;
    i = 0
  }
}

/* all: whether nobody holds phase p up; a look at each seat is a step. */
inline look_at_all() {
  all = true;
  i = 1;
  do
  :: i > N || !all -> break
  :: i <= N && all ->
     atomic { all = !(whose[i] == i && arrived[i] != p + 1); i++ }
  od;
  i = 0
}

proctype party(byte me) {
  byte p, i;
  bool all, m, slice, drops, waits;
  do
  :: p == PHASES -> break
  :: p < PHASES ->
     d_step { slice = false; waits = false; slices[me] = 0 };
     MAY_DIE;
     reached[me] = p + 1;
     MAY_DIE;
#ifdef LOOK_FIRST
     m = mark;
     look_at_all();
#endif
#ifdef DROPS
     if
     :: me == 1 && p == 1 -> whose[me] = DROPPED; drops = true
     :: else -> arrived[me] = p + 1
     fi;
#else
     arrived[me] = p + 1;
#endif
     MAY_DIE;
#ifdef LOOK_FIRST
     if
     :: all -> goto look
     :: else -> goto wait
     fi;
#endif

look:
     MAY_DIE;
     m = mark;
     if
     :: phase != p -> goto over
     :: else
     fi;
     MAY_DIE;
     look_at_all();
     if
#ifdef NO_HELP
     :: all && !waits ->
#else
     :: all ->
#endif
        MAY_DIE;
        atomic {
          if
#ifdef OLD_MARK
          :: phase == p -> phase = p + 1; mark = false
#else
          :: phase == p && mark == m -> phase = p + 1; mark = false
#endif
          :: else -> goto look
          fi
        };
        MAY_DIE;
        if
        :: m -> wake_all()
        :: else
        fi;
        goto over
     :: else
     fi;

wait:
     waits = true;
     if
     :: drops -> goto end
     :: slice ->
        /* Asks after those who have not arrived. */
        slice = false;
        i = 1;
        do
        :: i > N -> break
        :: i <= N ->
           atomic {
             if
#ifdef LATE_FINDING
             :: whose[i] == i && dead[i] && arrived[i] != p + 1 ->
#else
             :: whose[i] == i && dead[i] && arrived[i] != p + 1 && phase == p ->
#endif
#ifdef UNTOLD
                whose[i] = DROPPED;
                if
                :: told[p] == 0 -> told[p] = 2
                :: else
                fi;
#else
                whose[i] = DIED;
#endif
                arrived[i] = p + 1
             :: else
             fi;
             i++
           };
           MAY_DIE
        od;
        i = 0;
        goto look
     :: !slice && !drops ->
        atomic {
          if
          :: phase == p -> mark = true
          :: else -> goto over
          fi
        };
        MAY_DIE;
        /* The kernel compares and queues in one step. */
        atomic {
          if
#ifdef BLIND_SLEEP
          :: true -> asleep[me] = true
#else
          :: phase == p && mark -> asleep[me] = true
          :: else -> goto look
#endif
          fi
        };
        if
        :: !asleep[me]
        :: atomic {
             deaths > 0 && asleep[me] && slices[me] < 2 ->
             slices[me]++; asleep[me] = false; slice = true
           }
#if DEATHS > 0
        :: atomic { deaths < DEATHS -> ONE_DIES; goto end }
#endif
        fi;
        goto look
     fi;

over:
     atomic {
       i = 1;
       m = false;
       do
       :: i > N -> break
       :: i <= N ->
          assert(dead[i] || whose[i] == DROPPED || reached[i] >= p + 1);
          m = m || (whose[i] == DIED && arrived[i] == p + 1);
          i++
       od;
       i = 0;
       if
       :: told[p] == 0 -> told[p] = (m -> 2 : 1)
       :: else -> assert(told[p] == (m -> 2 : 1))
       fi;
       m = false;
       all = false
     };
     if
     :: drops -> goto end
     :: else
     fi;
     p++
  od;
end:
  skip
}

init {
  atomic {
    whose[1] = 1;
    whose[2] = 2;
#if N > 2
    whose[3] = 3;
#endif
    run party(1);
    run party(2);
#if N > 2
    run party(3);
#endif
  }
}
