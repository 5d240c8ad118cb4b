/* Who takes a channel's name away, and when: joining, leaving and dying around the membership lock
 * (core/participants.hpp), for the model checker spin; every interleaving is explored. Run by
 * check_model.sh. What the handles then say of a stream is played against real handles in
 * process/channel_lives_test.cpp; here each step of a life can be the last one.
 *
 * Senders and receivers, SENDERS and RECEIVERS of each in turn, live one life each: join (again, if
 * the name has led elsewhere), work, and leave; or die at any step, DEATHS of them in all. A ring is
 * a number; the name leads to one, or to none. Each message is a record of one ring.
 *
 * Asserted: a name goes only when no record of its ring is unread, or when the one who takes it away
 * knows that it was refused by a receiver that left in order; it is alone then; nobody joins a
 * ring whose name has gone; and a sender that has heard its receiver's orderly close and leaves finds
 * that one's place given back, so that what it was told of does not stay behind.
 *
 * Mutants, each of which must fail:
 *   LOOK_FIRST     whether anything is unread is decided before the membership lock is taken
 *   NO_LOOK        a receiver that is the last takes the name away, whatever is unread
 *   UNKNOWN_IS_GONE  a probe that fails counts as: nobody else is there
 *   CLOSE_FIRST  a receiver closes in order before it takes the membership lock
 *   NO_NAME_CHECK  who joins does not look whether the name still leads to this ring
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#define RINGS 5
#define NONE 0

byte name = NONE;          /* the ring that the name leads to */
byte rings = 0;            /* made so far */
byte sent[RINGS];          /* records committed in ring r */
byte read[RINGS];          /* and given back */
bool left_in_order[RINGS];      /* its last receiver left in order */
bool sender_there[RINGS];  /* holds the liveness lock of its place */
bool receiver_there[RINGS];
byte lock[RINGS];          /* membership: who holds it, 0 nobody */
byte deaths = 0;

/* The kernel takes back what the dead held. */
inline die(r, me) {
  d_step {
    deaths++;
    if
    :: r != NONE ->
       if
       :: lock[r] == me -> lock[r] = 0
       :: else
       fi;
       if
       :: me <= SENDERS && mine -> sender_there[r] = false
       :: me > SENDERS && mine -> receiver_there[r] = false
       :: else
       fi
    :: else
    fi
  }
  goto dead
}
#define MAY_DIE(r, me) if :: deaths < DEATHS -> die(r, me) :: true fi

inline take(r, me) { atomic { lock[r] == 0 -> lock[r] = me } }
inline release(r) { lock[r] = 0 }

/* Whether nobody else is attached; with UNKNOWN_IS_GONE, the kernel may fail to say so. */
inline look_who_is_there(r, me, last) {
  d_step {
    last = (me <= SENDERS && !receiver_there[r]) || (me > SENDERS && !sender_there[r])
  }
#ifdef UNKNOWN_IS_GONE
  if :: last = true :: true fi
#else
  if :: last = false :: true fi  /* the probe failed: not known to be the last */
#endif
}

inline remove_name(r, refused) {
  atomic {
    if
    :: name == r ->
       assert(sent[r] == read[r] || refused);
       assert(sender_there[r] + receiver_there[r] == 1);
       name = NONE
    :: else
    fi
  }
}

proctype Sender(byte me) {
  byte r;
  bool mine, last, unread, refused, heard;
again:
  r = NONE; mine = false;
  atomic {
    if
    :: name == NONE && rings < RINGS - 1 -> rings++; name = rings
    :: else
    fi;
    r = name
  }
  if :: r == NONE -> goto dead :: else fi;
  take(r, me);
  MAY_DIE(r, me);
  if
#ifndef NO_NAME_CHECK
  :: name != r -> release(r); goto again
#endif
  :: sender_there[r] -> release(r); goto dead
  :: else -> atomic { assert(name == r); sender_there[r] = true; mine = true }
  fi;
  MAY_DIE(r, me);
  release(r);
  MAY_DIE(r, me);
  sent[r]++;
  MAY_DIE(r, me);
  /* leaves */
  heard = left_in_order[r];
#ifdef LOOK_FIRST
  unread = (sent[r] != read[r]);
#endif
  take(r, me);
  MAY_DIE(r, me);
  assert(!(heard && left_in_order[r] && receiver_there[r]));
  look_who_is_there(r, me, last);
  if
  :: last ->
#ifndef LOOK_FIRST
     unread = (sent[r] != read[r]);
#endif
     refused = left_in_order[r];
     MAY_DIE(r, me);
     if
     :: !unread || refused -> remove_name(r, refused)
     :: else
     fi
  :: else
  fi;
  MAY_DIE(r, me);
  atomic { sender_there[r] = false; mine = false };
  release(r);
dead:
  skip
}

proctype Receiver(byte me) {
  byte r;
  bool mine, last, unread;
again:
  r = NONE; mine = false;
  /* Waits for a name; gives up. */
  if
  :: atomic { name != NONE -> r = name }
  :: goto dead
  fi;
  take(r, me);
  MAY_DIE(r, me);
  if
#ifndef NO_NAME_CHECK
  :: name != r -> release(r); goto again
#endif
  :: receiver_there[r] -> release(r); goto dead
  :: else -> atomic { assert(name == r); receiver_there[r] = true; mine = true; left_in_order[r] = false }
  fi;
  MAY_DIE(r, me);
  release(r);
  MAY_DIE(r, me);
  /* reads what it likes */
  do
  :: atomic { read[r] < sent[r] -> read[r]++ }
  :: break
  od;
  MAY_DIE(r, me);
  /* leaves */
#ifdef CLOSE_FIRST
  left_in_order[r] = true;
#endif
#ifdef LOOK_FIRST
  unread = (sent[r] != read[r]);
#endif
  take(r, me);
  MAY_DIE(r, me);
  look_who_is_there(r, me, last);
  left_in_order[r] = true;
  MAY_DIE(r, me);
  if
  :: last ->
#ifndef LOOK_FIRST
     unread = (sent[r] != read[r]);
#endif
#ifdef NO_LOOK
     unread = false;
#endif
     MAY_DIE(r, me);
     if
     :: !unread -> remove_name(r, false)
     :: else
     fi
  :: else
  fi;
  MAY_DIE(r, me);
  atomic { receiver_there[r] = false; mine = false };
  release(r);
dead:
  skip
}

init {
  byte i = 1;
  atomic {
    do
    :: i <= SENDERS -> run Sender(i); i++
    :: i > SENDERS && i <= SENDERS + RECEIVERS -> run Receiver(i); i++
    :: else -> break
    od
  }
}
