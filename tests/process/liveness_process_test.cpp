// Who is alive, between processes: killed, stopped, forked, replaced.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr JoinRequest kProducerSlot{.first_slot = 0, .slot_count = 1, .role = Role::kProducer};

// Passes once `done` holds; a hang ends by the watchdog.
template <class Done>
void wait_until(Done&& done) {
  while (!done()) std::this_thread::yield();
}

class LivenessBetweenProcesses : public Watchdog {
 protected:
  // A child that joins as the producer, says so, and lives until it is killed.
  auto producer_body() {
    return [this] {
      const Segment segment = sound(Segment::attach(name_));
      Participants self = participants_of(segment);
      if (!self.join(kProducerSlot)) return 1;
      joined_->store(true);
      for (;;) pause();
    };
  }

  ShmName name_;
  Segment segment_ = sound(create_small(name_));
  Participants watcher_ = participants_of(segment_);
  Shared<std::atomic<bool>> joined_;
};

TEST_F(LivenessBetweenProcesses, AKilledProcessIsDeadAtOnceAndItsSlotIsFree) {
  for (int round = 0; round < 20; ++round) {
    joined_->store(false);
    Child child(producer_body());
    wait_until([&] { return joined_->load(); });
    EXPECT_FALSE(watcher_.is_dead(0));

    child.signal(SIGKILL);
    EXPECT_EQ(child.join(), -SIGKILL);

    EXPECT_TRUE(watcher_.is_dead(0));
  }
  Participants successor = participants_of(segment_);
  const auto joined = successor.join(kProducerSlot);
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_TRUE(joined->predecessor_died);
  EXPECT_EQ(joined->generation, 21u);
}

TEST_F(LivenessBetweenProcesses, AStoppedProcessIsAliveAndKeepsItsSlot) {
  Child child(producer_body());
  wait_until([&] { return joined_->load(); });
  child.signal(SIGSTOP);
  child.join_stop();

  EXPECT_FALSE(watcher_.is_dead(0));
  EXPECT_FALSE(watcher_.try_lock_dead(0));
  const auto second = participants_of(segment_).join(kProducerSlot);
  EXPECT_EQ(code_of(second), code_of(ErrorCode::kBusy));
  EXPECT_THAT(message_of(second), HasSubstr("process"));

  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);
  EXPECT_TRUE(watcher_.is_dead(0));
}

TEST_F(LivenessBetweenProcesses, AProcessThatEndsWithoutLeavingIsDead) {
  Child child([&] {
    auto* self = new Participants(participants_of(segment_));  // never destroyed
    return self->join(kProducerSlot) ? 0 : 1;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_TRUE(watcher_.is_dead(0));
  EXPECT_EQ(watcher_.snapshot().size(), 1u);
}

TEST_F(LivenessBetweenProcesses, ProgramsThatAreStartedDontInheritLocks) {
  ASSERT_TRUE(watcher_.join(kProducerSlot));
  char program[] = "/bin/sleep";
  char forever[] = "1000";
  char* arguments[] = {program, forever, nullptr};
  char* environment[] = {nullptr};
  pid_t started = 0;
  ASSERT_EQ(posix_spawn(&started, program, nullptr, nullptr, arguments, environment), 0);

  watcher_.leave(false);

  EXPECT_TRUE(participants_of(segment_).is_dead(0));
  kill(started, SIGKILL);
  waitpid(started, nullptr, 0);
}

// The fork rule. Without it, a child that outlives its parent would keep the dead parent alive.
TEST_F(LivenessBetweenProcesses, AForkedChildHoldsNothingOfItsParents) {
  Shared<std::atomic<bool>> ready;
  Shared<std::atomic<bool>> end;
  int grandchild_pipe[2];
  ASSERT_EQ(pipe(grandchild_pipe), 0);
  Child parent([&] {
    Participants self = participants_of(segment_);
    if (!self.join(kProducerSlot)) return 1;
    if (fork() == 0) {
      // Outlives its parent on purpose; ends when told to, or after a while at the latest.
      alarm(240);
      close(grandchild_pipe[0]);
      ready->store(true);
      while (!end->load()) usleep(1000);
      _exit(0);
    }
    wait_until([&] { return ready->load(); });
    kill(getpid(), SIGKILL);
    return 2;
  });
  EXPECT_EQ(parent.join(), -SIGKILL);

  EXPECT_TRUE(watcher_.is_dead(0));

  end->store(true);
  close(grandchild_pipe[1]);
  char byte;
  EXPECT_EQ(read(grandchild_pipe[0], &byte, 1), 0);  // the grandchild has ended
  close(grandchild_pipe[0]);
}

TEST_F(LivenessBetweenProcesses, HandlesInheritedByForkAreNoParticipants) {
  ASSERT_TRUE(watcher_.join(kProducerSlot));
  ASSERT_FALSE(watcher_.forked());
  Participants unjoined = participants_of(segment_);
  Child child([&] {
    if (!watcher_.forked() || !unjoined.forked()) return 1;
    if (code_of(unjoined.join({.first_slot = 1})) != code_of(ErrorCode::kForked)) return 2;
    if (watcher_.leave(true)) return 3;  // not the child's to leave
    if (unjoined.is_dead(0)) return 4;   // no proof, no death
    if (unjoined.try_lock_dead(2)) return 5;
    watcher_.unlock(0);
    { const Participants gone = std::move(watcher_); }
    // The child can become a participant of its own.
    Participants own = participants_of(segment_);
    if (own.forked() || !own.join({.first_slot = 1})) return 6;
    return own.is_dead(0) ? 7 : 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_FALSE(watcher_.forked());
  EXPECT_TRUE(segment_.still_at_its_name());
  EXPECT_FALSE(participants_of(segment_).is_dead(0));
}

// A fork that comes while another thread is just opening locks: the child must not get hold of one
// unseen, and keep it when its parent has died.
TEST_F(LivenessBetweenProcesses, ForksWhileAnotherThreadOpensLocksLeakNone) {
  constexpr std::uint32_t kLocks = 64;
  auto looker = LivenessLock::open(segment_);
  ASSERT_TRUE(looker);
  for (std::uint64_t round = 0; round < scaled(100); ++round) {
    Shared<std::atomic<pid_t>> grandchild;
    Child parent([&] {
      std::atomic<std::uint32_t> opened{0};
      std::thread opener([&] {
        static std::vector<LivenessLock> locks;
        for (; opened < kLocks; ++opened) {
          auto lock = LivenessLock::open(segment_);
          if (!lock || !lock->try_hold(opened)) _exit(1);
          locks.push_back(std::move(*lock));
        }
      });
      wait_until([&] { return opened >= 8; });
      if (fork() == 0) {
        alarm(240);
        grandchild->store(getpid());
        for (;;) pause();
      }
      opener.join();
      wait_until([&] { return grandchild->load() != 0; });
      kill(getpid(), SIGKILL);
      return 2;
    });
    ASSERT_EQ(parent.join(), -SIGKILL);
    EXPECT_FALSE(looker->any_held_by_other(0, kLocks)) << "round " << round;
    ASSERT_GT(grandchild->load(), 0);
    kill(grandchild->load(), SIGKILL);
  }
}

// A child for which no fork handler runs: its copies of the descriptors stay open.
pid_t bare_clone() {
  return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
}

TEST_F(LivenessBetweenProcesses, AChildWithoutForkHandlersTakesNothing) {
  ASSERT_TRUE(watcher_.join(kProducerSlot));
  const pid_t child = bare_clone();
  if (child == 0) {
    const bool refused = watcher_.forked() && !watcher_.leave(true) && !watcher_.try_lock_dead(2);
    { const Participants gone = std::move(watcher_); }
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(participants_of(segment_).is_dead(0));
}

TEST_F(LivenessBetweenProcesses, TheEndOfAHandleFreesItsSlotThoughAChildHasACopy) {
  pid_t child = 0;
  {
    Participants self = participants_of(segment_);
    ASSERT_TRUE(self.join(kProducerSlot));
    child = bare_clone();
    if (child == 0) {
      for (;;) pause();
    }
    ASSERT_GT(child, 0);
  }
  EXPECT_TRUE(watcher_.is_dead(0));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(LivenessBetweenProcesses, OneOfManyWhoWantTheSlotGetsIt) {
  for (int round = 0; round < 10; ++round) {
    Shared<std::atomic<int>> winners;
    Shared<std::atomic<int>> finished;
    Shared<std::atomic<bool>> end;
    const auto contender = [&] {
      const Segment segment = sound(Segment::attach(name_));
      Participants self = participants_of(segment);
      const auto joined = self.join(kProducerSlot);
      if (joined) winners->fetch_add(1);
      if (!joined && joined.error().code != ErrorCode::kBusy) return 1;
      finished->fetch_add(1);
      wait_until([&] { return end->load(); });
      self.leave(false);
      return 0;
    };
    Child a(contender);
    Child b(contender);
    Child c(contender);
    wait_until([&] { return finished->load() == 3; });
    EXPECT_EQ(winners->load(), 1);
    end->store(true);
    EXPECT_EQ(a.join() + b.join() + c.join(), 0);
  }
}

// A process that is killed while it holds the membership lock does not keep others out.
TEST_F(LivenessBetweenProcesses, MembershipIsFreedByDeath) {
  Child child([&] {
    auto lock = LivenessLock::open(segment_);
    if (!lock || !lock->lock_membership(milliseconds(0))) return 1;
    joined_->store(true);
    for (;;) pause();
  });
  wait_until([&] { return joined_->load(); });
  JoinRequest request = kProducerSlot;
  request.timeout = milliseconds(0);
  EXPECT_EQ(code_of(watcher_.join(request)), code_of(ErrorCode::kTimedOut));
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);
  EXPECT_TRUE(watcher_.join(request));
}

// All slots taken by one hostile peer: an error for the rest.
TEST_F(LivenessBetweenProcesses, APeerThatTakesEverySlotCostsTheOthersAnError) {
  Child child([&] {
    const int fd = open(name_.path().c_str(), O_RDWR);
    struct flock all = {};
    all.l_type = F_WRLCK;
    all.l_whence = SEEK_SET;
    if (fcntl(fd, F_OFD_SETLK, &all) != 0) return 1;  // every byte there is
    joined_->store(true);
    for (;;) pause();
  });
  wait_until([&] { return joined_->load(); });
  JoinRequest request = kProducerSlot;
  request.timeout = milliseconds(10);
  EXPECT_EQ(code_of(watcher_.join(request)), code_of(ErrorCode::kTimedOut));
  EXPECT_FALSE(watcher_.is_dead(1));
  EXPECT_EQ(watcher_.snapshot().size(), 4u);
  EXPECT_TRUE(Segment::remove(name_));  // the way out
  child.signal(SIGKILL);
}

}  // namespace
}  // namespace rondo
