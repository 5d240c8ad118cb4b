/* The condition variable of sync/condition_variable.hpp (and sync/rings.hpp), for the model checker
 * spin: two who wait for a thing each, and two who bring one each, and notify; some die at any
 * step. Run by check_model.sh; every interleaving is explored. The mutex is taken for granted
 * (mutex.pml), and one that a dead process held is given on. The processors' reordering is not
 * modelled: tests/ordering/condition_variable_weak_test.cpp looks at that.
 *
 * Checked: nobody sleeps for ever beside a thing that it waits for (the checker's invalid end
 * state). The end of a slice is there only once somebody has died: without a death, a wake that does
 * not come is lost for ever; and twice for each death.
 *
 *   -DDEATHS=n    so many may die
 *   -DNOTIFY_ALL  those who notify wake all
 *   -DINSIDE      they notify before they unlock
 * Mutants, each of which must fail:
 *   LATE_MARK     who waits says so only after it has unlocked
 *   LOST_MARK     who wakes one takes the mark away
 */

#ifndef DEATHS
#define DEATHS 0
#endif
#define WAITERS 2
#define ALL 4

/* The word: the mark, and how often it was rung. */
bool mark;
byte rings;

byte owner;  /* of the mutex; 0: nobody */
byte things;
byte brought;
bool asleep[ALL + 1];
bool dead[ALL + 1];
byte deaths;
byte slices[ALL + 1];  /* since the last death */

#define ONE_DIES deaths++; dead[me] = true; asleep[me] = false; slices[1] = 0; slices[2] = 0
#define MAY_DIE \
  if \
  :: atomic { deaths < DEATHS -> ONE_DIES; goto end } \
  :: true \
  fi

#define LOCK atomic { owner == 0 || dead[owner] -> owner = me }
#define UNLOCK atomic { assert(owner == me); owner = 0 }

proctype waiter(byte me) {
  byte seen;
  bool in_vain;
  LOCK;
  do
  :: things > 0 -> break
  :: things == 0 ->
     MAY_DIE;
#ifndef LATE_MARK
     atomic { mark = true; seen = rings };
     MAY_DIE;
     UNLOCK;
#else
     UNLOCK;
     MAY_DIE;
     atomic { mark = true; seen = rings };
#endif
     MAY_DIE;
     /* The kernel compares and queues in one step. */
     atomic {
       if
       :: mark && rings == seen -> asleep[me] = true
       :: else
       fi
     };
     if
     :: !asleep[me]
     :: atomic {
          deaths > 0 && asleep[me] && slices[me] < 2 -> slices[me]++; asleep[me] = false
        }
     /* All things have been brought, or never will be, and were taken by the other one. */
     :: atomic { asleep[me] && things == 0 && brought == 2 -> in_vain = true; asleep[me] = false }
#if DEATHS > 0
     :: atomic { deaths < DEATHS -> ONE_DIES; goto end }
#endif
     fi;
     if
     :: in_vain -> goto end
     :: else
     fi;
     LOCK
  od;
  MAY_DIE;
  things--;
  UNLOCK;
end:
  if
  :: atomic { owner == me -> owner = 0 }
  :: else
  fi
}

inline wake_all() {
  atomic { asleep[1] = false; asleep[2] = false }
}

inline ring_all() {
  atomic {
    rings++;
    mark = false
  };
  MAY_DIE;
  wake_all()
}

inline notify() {
  if
  :: mark ->
     MAY_DIE;
#ifdef NOTIFY_ALL
     ring_all()
#else
     atomic {
       rings++;
#ifdef LOST_MARK
       mark = false;
#endif
       skip
     };
     MAY_DIE;
     woken = false;
     atomic {
       if
       :: asleep[1] -> asleep[1] = false; woken = true
       :: asleep[2] -> asleep[2] = false; woken = true
       :: else
       fi
     };
     MAY_DIE;
     if
     :: !woken -> ring_all()
     :: else
     fi
#endif
  :: else
  fi
}

proctype notifier(byte me) {
  bool woken;
  LOCK;
  MAY_DIE;
  things++;
#ifdef INSIDE
  notify();
#endif
  UNLOCK;
  MAY_DIE;
#ifndef INSIDE
  notify();
#endif
end:
  atomic {
    brought++;
    if
    :: owner == me -> owner = 0
    :: else
    fi
  }
}

init {
  atomic {
    run waiter(1);
    run waiter(2);
    run notifier(3);
    run notifier(4);
  }
}
