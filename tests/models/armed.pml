/* Receivers of one ring that arm their ends and sleep at descriptors of their own
 * (sync/waiter_set_doorbell.hpp, and arm() and disarm() of transports/src/endpoint), for the model
 * checker spin. Run by check_model.sh; every interleaving is explored. The processors' reordering
 * is not modelled: doorbell.pml and tests/ordering/waiter_set_doorbell_weak_test.cpp look at that.
 *
 * A wake is for one: whoever it was spent on takes what there is, or gives the wake to another one.
 * Checked: when nothing goes on any more, no message lies there while somebody could take it.
 * There are no time slices here, and no deaths, which those are for: a lost wake is lost for ever.
 *
 *   -DLEAVES      receiver 1 disarms at any time while it is armed, and goes
 * Mutants, each of which must fail:
 *   LOOK_FIRST    who arms looks for messages before it is on the list, and not after
 *   LATE_READ     who arms reads its bell when it is on the list already
 *   NO_PASS_ON    with LEAVES: one that goes wakes nobody, though a wake may have been spent on it
 *   ONLY_LAST     with LEAVES: it wakes another one only if that was when it was armed last
 */

#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 3
#endif

byte queue;                     /* messages that lie there */
bool listed[RECEIVERS + 1];
byte bell[RECEIVERS + 1];

/* Takes one off the list, any, and moves its bell. */
inline ring_one() {
  who = 0;
  atomic {
    if
    :: listed[1] -> who = 1; listed[1] = false
    :: listed[2] -> who = 2; listed[2] = false
#if RECEIVERS > 2
    :: listed[3] -> who = 3; listed[3] = false
#endif
    :: else
    fi;
    if
    :: who != 0 -> bell[who]++
    :: else
    fi;
    who = 0
  }
}

proctype sender() {
  byte i, who;
  for (i : 1 .. MESSAGES) {
    queue++;
    ring_one()
  }
}

proctype receiver(byte me) {
  byte seen, who;
  bool found, woken;
  do
  :: /* Takes what there is. */
     atomic { queue > 0 -> queue-- }
  :: /* Arms. */
#ifdef LOOK_FIRST
     found = queue > 0;
#endif
#ifdef LATE_READ
     listed[me] = true;
     seen = bell[me];
#else
     seen = bell[me];
     listed[me] = true;
#endif
#ifndef LOOK_FIRST
     found = queue > 0;
#endif
     if
     :: found ->
        d_step { woken = !listed[me]; listed[me] = false };
#ifdef LEAVES
        if
        :: me == 1 -> goto leave
        :: true
        fi
#endif
     :: !found ->
end_asleep:
        if
        :: bell[me] != seen -> listed[me] = false
#ifdef LEAVES
        :: me == 1 ->
           d_step { woken = !listed[me]; listed[me] = false };
           goto leave
#endif
        fi
     fi
  od;
leave:
  if
#ifdef NO_PASS_ON
  :: true
#elif defined(ONLY_LAST)
  :: woken -> ring_one()
  :: else
#else
  :: true -> ring_one()
#endif
  fi
}

init {
  atomic {
    run sender();
    run receiver(1);
    run receiver(2);
#if RECEIVERS > 2
    run receiver(3);
#endif
  };
  timeout -> assert(queue == 0)
}
