"""Locks in the lake: one holder at a time, whoever dies, pauses or races."""

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit_pipeline.errors import LostLockError, PartitionBusyError, StoreError
from audit_pipeline.store import locks as locks_module
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.objects import Store, open_store
from tests.support.crash_child import KILLED, PROCESSES
from tests.support.lake import DAY1, DAY2, Lake, event, key, zipped

SHORT = {"_LEASE": timedelta(seconds=1), "_RENEWAL_SECONDS": 0.2, "_POLL_SECONDS": 0.05, "_CLOCK_SKEW": timedelta()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "lake"), create=True)


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SHORT.items():
        monkeypatch.setattr(locks_module, name, value)


def newest(store: Store, name: str) -> tuple[str, dict[str, Any]]:
    newest_key = store.list(f"auditlog_lock/{name}")[-1].key
    return newest_key, json.loads(store.get(newest_key))


def write_foreign(store: Store, name: str, *, expires_in: float, generation: int = 1, **changed: Any) -> None:
    """A lock as a run on another machine writes it."""
    record = {
        "owner": "theirs",
        "host": "another-machine",
        "pid": os.getpid(),
        "process_started": 0.0,
        "acquired_at": "2026-05-01T00:00:00+00:00",
        "expires_at": (datetime.now(UTC) + timedelta(seconds=expires_in)).isoformat(),
        "released": False,
    }
    store.put(f"auditlog_lock/{name}/{generation:09}.json", json.dumps(record | changed).encode())


@contextmanager
def renewed_by_another_machine(store: Store, name: str) -> Iterator[None]:
    """Somewhere else a run holds the lock and is alive."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.is_set():
            write_foreign(store, name, expires_in=1)
            stop.wait(0.2)

    write_foreign(store, name, expires_in=1)
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# -- holding and releasing


def test_a_lock_that_is_held_is_refused_and_free_again_after_its_release(store: Store) -> None:
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        mine.check()
        with Locks(store, "yours") as yours:
            yours.acquire("b")
            with pytest.raises(PartitionBusyError, match=rf"a is being written by mine \(process {os.getpid()} on"):
                yours.acquire("a")
    with Locks(store, "yours") as yours:
        yours.acquire("a")
        yours.check()


def test_who_waits_for_a_lock_gets_it_when_it_is_released(store: Store, short_lease: None) -> None:
    got = threading.Event()

    def wait_for_it() -> None:
        with Locks(store, "yours") as yours:
            yours.acquire("a", wait_seconds=30)
            got.set()

    with Locks(store, "mine") as mine:
        mine.acquire("a")
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        assert not got.wait(1.5)  # longer than the lease: it is renewed
        mine.check()
    waiting.join(10)
    assert got.is_set()


def test_who_waits_for_a_lock_gives_up_in_time(store: Store, short_lease: None) -> None:
    with Locks(store, "mine") as mine, Locks(store, "yours") as yours:
        mine.acquire("a")
        began = time.monotonic()
        with pytest.raises(PartitionBusyError):
            yours.acquire("a", wait_seconds=0.5)
        assert 0.4 < time.monotonic() - began < 3


def test_the_locks_of_a_run_that_failed_are_released(store: Store) -> None:
    def fail() -> None:
        with Locks(store, "mine") as mine:
            mine.acquire("a")
            mine.acquire("b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with Locks(store, "yours") as yours:
        yours.acquire("b")
        yours.acquire("a")


def test_a_lock_leaves_one_small_object_however_often_it_was_taken(store: Store) -> None:
    for number in range(12):
        with Locks(store, str(number)) as locks:
            locks.acquire("a")
    (left,) = store.list()
    assert left.key == "auditlog_lock/a/000000012.json"
    assert left.size < 1000


def test_the_locks_of_a_partition_and_of_its_dates_are_apart(store: Store) -> None:
    with Locks(store, "mine") as mine, Locks(store, "yours") as yours:
        mine.acquire("dt=2026-05-01")
        yours.acquire("dt=2026-05-02")
        yours.acquire("partition=2026-05-01")
        mine.check()
        yours.check()


# -- owners that are gone


def hold_until_killed(url: str, acquired: Any) -> None:
    with Locks(open_store(url), "killed") as locks:
        locks.acquire("a")
        acquired.set()
        time.sleep(60)


def killed_holder(store: Store) -> None:
    acquired = PROCESSES.Event()
    holder = PROCESSES.Process(target=hold_until_killed, args=(str(store.root), acquired))
    holder.start()
    assert acquired.wait(30)
    with Locks(store, "mine") as mine, pytest.raises(PartitionBusyError):
        mine.acquire("a")
    holder.kill()
    holder.join()
    assert holder.exitcode == KILLED


def test_the_lock_of_a_killed_process_of_this_machine_is_taken_over_at_once(store: Store) -> None:
    killed_holder(store)
    began = time.monotonic()
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        assert time.monotonic() - began < 1
        mine.check()


def test_a_process_that_has_the_pid_of_a_dead_owner_is_not_taken_for_it(store: Store) -> None:
    killed_holder(store)
    path, record = newest(store, "a")
    store.put(path, json.dumps(record | {"pid": os.getppid()}).encode())  # lives, but started at another time
    with Locks(store, "mine") as mine:
        mine.acquire("a")


def test_what_a_kill_in_the_middle_of_a_write_left_is_removed_by_the_next_taker(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = PROCESSES.Process(target=die_in_the_release, args=(str(store.root),))
    killed.start()
    killed.join()
    assert killed.exitcode == KILLED
    with Locks(store, "mine") as mine:
        mine.acquire("a")
    assert [info.key for info in store.list()] == ["auditlog_lock/a/000000002.json"]


def die_in_the_release(url: str) -> None:
    import obstore

    obstore.rename = lambda *_args, **_options: os.kill(os.getpid(), signal.SIGKILL)
    with Locks(open_store(url), "killed") as locks:
        locks.acquire("a")


def test_an_expired_lock_of_another_machine_is_taken_over(store: Store) -> None:
    write_foreign(store, "a", expires_in=-24 * 3600)
    began = time.monotonic()
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        assert time.monotonic() - began < 1
        mine.check()


def test_a_lock_of_another_machine_that_may_have_another_clock_is_watched_for_a_lease(
    store: Store, short_lease: None
) -> None:
    write_foreign(store, "a", expires_in=3600)
    began = time.monotonic()
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        assert 0.9 < time.monotonic() - began < 5
        mine.check()


def test_a_lock_that_another_machine_renews_is_refused(store: Store, short_lease: None) -> None:
    with renewed_by_another_machine(store, "a"), Locks(store, "mine") as mine:
        with pytest.raises(PartitionBusyError, match=r"theirs .* on another-machine"):
            mine.acquire("a")
        with pytest.raises(PartitionBusyError):
            mine.acquire("a", wait_seconds=1.5)  # longer than the lease
        assert newest(store, "a")[1]["owner"] == "theirs"


def test_a_run_of_a_partition_that_another_machine_is_at_changes_nothing(
    lake: Lake, short_lease: None, store: Store
) -> None:
    lake.write(key(DAY1), zipped(event()))
    with renewed_by_another_machine(store, f"partition={DAY1}"):
        with pytest.raises(PartitionBusyError):
            lake.run()
        assert {path.split("/")[0] for path in lake.files("")} <= {"auditlog_lock", "auditlog_staging"}
    lake.run()
    assert len(lake.rows()) == 1


def test_a_released_lock_of_another_machine_is_free_at_once(store: Store) -> None:
    write_foreign(store, "a", expires_in=3600, released=True)
    with Locks(store, "mine") as mine:
        mine.acquire("a")


def test_a_run_waits_for_a_date_that_another_machine_is_committing_to(
    lake: Lake, short_lease: None, store: Store
) -> None:
    lake.write(key(DAY1), zipped(event()))
    done = threading.Event()

    def run() -> None:
        lake.run()
        done.set()

    with renewed_by_another_machine(store, f"dt={DAY1}"):
        running = threading.Thread(target=run)
        running.start()
        assert not done.wait(1.5)
        assert not lake.rows()
    running.join(30)
    assert done.is_set()
    assert len(lake.rows()) == 1


# -- locks that are lost


def test_who_lost_a_lock_is_told_in_one_line(store: Store) -> None:
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        mine.acquire("b")
        mine.check()
        write_foreign(store, "a", expires_in=60, generation=2)
        with pytest.raises(LostLockError, match="a was taken over by another run, as mine did not renew") as lost:
            mine.check()
    assert "\n" not in str(lost.value)
    assert newest(store, "a")[1]["owner"] == "theirs"  # and leaves it alone when it ends
    assert not newest(store, "a")[1]["released"]


def test_a_run_that_lost_its_lock_commits_nothing(lake: Lake, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(key(DAY1), zipped(event()))
    lake.run()
    lake.write(key(DAY1), zipped(event("other")))
    before = lake.files() | lake.files("auditlog_manifest")
    check = Locks.check

    def lose_it_first(locks: Locks) -> None:
        write_foreign(store, f"partition={DAY1}", expires_in=60, generation=3)
        check(locks)

    with monkeypatch.context() as patched:
        patched.setattr(Locks, "check", lose_it_first)
        with pytest.raises(LostLockError):
            lake.run()
    assert lake.files() | lake.files("auditlog_manifest") == before
    assert not lake.files("auditlog_pending")
    write_foreign(store, f"partition={DAY1}", expires_in=0, generation=3, released=True)
    lake.run()
    assert [row["Id"] for row in lake.rows()] == ["other"]


@pytest.mark.parametrize("times_it_was_there", [1, 2])
def test_a_run_that_loses_its_lock_in_the_middle_of_its_commit_writes_no_manifest_and_the_next_one_repairs_it(
    times_it_was_there: int, lake: Lake, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(key(DAY1), zipped(event() + event("late", time="2026-04-30T10:00:00Z")))
    lake.first = DAY1 - timedelta(days=1)
    lake.run()
    lake.write(key(DAY1), zipped(event("other")))
    manifest = lake.files("auditlog_manifest")
    check, checks = Locks.check, iter(range(10))

    def lose_it_later(locks: Locks) -> None:
        if next(checks) == times_it_was_there:
            write_foreign(store, f"dt={DAY1}", expires_in=-3600, generation=9)
        check(locks)

    with monkeypatch.context() as patched:
        patched.setattr(Locks, "check", lose_it_later)
        with pytest.raises(LostLockError):
            lake.run()
    assert lake.files("auditlog_manifest") == manifest
    assert lake.files("auditlog_pending")
    lake.run()
    assert [row["Id"] for row in lake.rows()] == ["other"]
    assert not lake.files("auditlog_pending")


def pause_and_check(url: str, acquired: Any, outcome: Any) -> None:
    with Locks(open_store(url), "paused") as locks:
        locks.acquire("a")
        acquired.set()
        time.sleep(0.2)
        while True:
            try:
                locks.check()
                time.sleep(0.05)
            except LostLockError:
                outcome.set()
                return


def test_a_holder_that_was_stopped_longer_than_its_lease_finds_that_it_lost_the_lock(
    store: Store, short_lease: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquired, outcome = PROCESSES.Event(), PROCESSES.Event()
    holder = PROCESSES.Process(target=pause_and_check, args=(str(store.root), acquired, outcome))
    holder.start()
    assert acquired.wait(30)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGSTOP)
    monkeypatch.setattr(locks_module.socket, "gethostname", lambda: "another-machine")
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        os.kill(holder.pid, signal.SIGCONT)
        assert outcome.wait(10)
        holder.join(10)
        mine.check()
    assert holder.exitcode == 0


# -- a store that fails


def test_a_lock_whose_creation_was_answered_with_an_error_is_known_as_ones_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 creates the object, the answer is lost, and the repeated request finds an object there."""
    create = Store.create

    def create_and_repeat(store: Store, path: str, data: bytes) -> bool:
        create(store, path, data)
        return create(store, path, data)

    monkeypatch.setattr(Store, "create", create_and_repeat)
    with Locks(store, "mine") as mine:
        mine.acquire("a")
        mine.check()
        with Locks(store, "yours") as yours, pytest.raises(PartitionBusyError):
            yours.acquire("a")


def test_a_process_can_take_a_lock_that_one_of_its_own_runs_could_not_release(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is over but its process lives on (Dagster's executor, a notebook): its lock must not stay for ever."""
    with monkeypatch.context() as patched, suppress(StoreError), Locks(store, "mine") as mine:
        mine.acquire("a")
        patched.setattr(Store, "put", failing_put)
    with Locks(store, "next") as following:
        following.acquire("a")


def fail_to_release(url: str, failed: Any) -> None:
    for name, value in SHORT.items():
        setattr(locks_module, name, value)
    put = Store.put
    with suppress(StoreError), Locks(open_store(url), "theirs") as theirs:
        theirs.acquire("a")
        Store.put = failing_put  # type: ignore[method-assign, assignment]
    Store.put = put  # type: ignore[method-assign]
    failed.set()
    time.sleep(60)


def test_a_process_can_take_a_lock_that_a_run_of_another_living_process_could_not_release(
    store: Store, short_lease: None
) -> None:
    failed = PROCESSES.Event()
    other = PROCESSES.Process(target=fail_to_release, args=(str(store.root), failed))
    other.start()
    try:
        assert failed.wait(30)
        with Locks(store, "mine") as mine:
            mine.acquire("a", wait_seconds=10)
            mine.check()
    finally:
        other.kill()
        other.join()


def test_a_release_that_fails_does_not_hide_why_the_run_failed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        with Locks(store, "mine") as mine:
            mine.acquire("a")
            monkeypatch.setattr(Store, "put", failing_put)
            raise LostLockError("the reason")

    with pytest.raises(LostLockError, match="the reason"):
        fail()


def failing_put(_store: Store, path: str, _data: bytes) -> None:
    raise StoreError(f"cannot write {path}")


# -- races


def increment(counter: Path) -> None:
    """Not atomic on purpose: two at once lose a count, or find the mark of each other."""
    mark = counter.with_suffix(".mark")
    with mark.open("x"):
        pass
    value = int(counter.read_text())
    time.sleep(random.uniform(0, 0.004))
    counter.write_text(str(value + 1))
    mark.unlink()


def take_turns(url: str, counter: Path, times: int, owner: str) -> None:
    store = open_store(url)
    for number in range(times):
        while True:
            with Locks(store, f"{owner}-{number}") as locks:
                try:
                    locks.acquire("a", wait_seconds=random.choice([0, 30]))
                except PartitionBusyError:
                    continue
                increment(counter)
                locks.check()
                break


def take_turns_shortly(url: str, counter: Path, times: int, owner: str) -> None:
    locks_module._POLL_SECONDS = 0.002  # type: ignore[misc]
    take_turns(url, counter, times, owner)


def test_threads_and_processes_that_race_for_a_lock_never_hold_it_together(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks_module, "_POLL_SECONDS", 0.002)
    counter = tmp_path / "counter"
    counter.write_text("0")
    failures: list[BaseException] = []

    def in_thread(name: str) -> None:
        try:
            take_turns(str(store.root), counter, 8, name)
        except BaseException as error:
            failures.append(error)

    processes = [
        PROCESSES.Process(target=take_turns_shortly, args=(str(store.root), counter, 8, f"process-{n}"))
        for n in range(4)
    ]
    threads = [threading.Thread(target=in_thread, args=(f"thread-{n}",)) for n in range(4)]
    for one in (*processes, *threads):
        one.start()
    for one in (*processes, *threads):
        one.join(60)
    assert failures == []
    assert [process.exitcode for process in processes] == [0] * 4
    assert counter.read_text() == "64"
    assert len(store.list("auditlog_lock/a")) == 1


def take_turns_and_die(url: str, log: Path, ready: Any) -> None:
    """Take the lock again and again; each time a line is written at the begin and at the end of holding it."""
    locks_module._POLL_SECONDS = 0.002  # type: ignore[misc]
    store = open_store(url)
    ready.set()
    with log.open("a", buffering=1) as lines:
        for number in range(1000):
            with Locks(store, f"{os.getpid()}-{number}") as locks:
                locks.acquire("a", wait_seconds=60)
                lines.write(f"{time.monotonic_ns()} {os.getpid()} begin\n")
                time.sleep(random.uniform(0, 0.01))
                lines.write(f"{time.monotonic_ns()} {os.getpid()} end\n")


def test_holders_that_are_killed_are_followed_by_one_holder_only(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    died: dict[int, int] = {}

    def new() -> multiprocessing.process.BaseProcess:
        ready = PROCESSES.Event()
        process = PROCESSES.Process(target=take_turns_and_die, args=(str(store.root), log, ready))
        process.start()
        assert ready.wait(30)
        return process

    alive = [new() for _ in range(4)]
    for number in range(16):
        time.sleep(random.uniform(0.02, 0.2))
        one = alive.pop(random.randrange(len(alive)))
        one.kill()
        one.join()
        assert one.pid is not None
        died[one.pid] = time.monotonic_ns()
        if number < 12:
            alive.append(new())
    holder: int | None = None
    held = 0
    for line in sorted(log.read_text().splitlines(), key=lambda line: int(line.split()[0])):
        at, pid, what = line.split()
        if what == "begin":
            assert holder is None or died[holder] < int(at) or holder == int(pid), "two held it together"
            holder, held = int(pid), held + 1
        else:
            assert holder == int(pid)
            holder = None
    assert held > 20
    with Locks(store, "mine") as mine:
        mine.acquire("a")


def test_two_takers_of_a_dead_owners_lock_do_not_both_get_it(store: Store) -> None:
    """The slow one has seen that the owner is dead before the fast one took the lock, and even released it."""
    write_foreign(store, "a", expires_in=-24 * 3600)
    may_create = threading.Event()
    create = Store.create
    outcome: list[str] = []

    def slow_create(store: Store, path: str, data: bytes) -> bool:
        if b'"slow"' in data:
            assert may_create.wait(30)
        return create(store, path, data)

    def slow() -> None:
        with Locks(store, "slow") as locks:
            try:
                locks.acquire("a")
                outcome.append("held")
            except PartitionBusyError:
                outcome.append("busy")

    def race(*, while_held: bool) -> None:
        may_create.clear()
        outcome.clear()
        taker = threading.Thread(target=slow)
        taker.start()
        time.sleep(0.2)
        with Locks(store, "fast") as fast:
            fast.acquire("a")
            if while_held:
                may_create.set()
                taker.join(30)
                assert outcome == ["busy"]
            fast.check()
        with Locks(store, "third") as third:  # now the slow one's number lies behind
            third.acquire("a")
            if not while_held:
                may_create.set()
                taker.join(30)
                assert outcome == ["busy"]
            third.check()

    patched = pytest.MonkeyPatch()
    try:
        patched.setattr(Store, "create", slow_create)
        race(while_held=True)
        race(while_held=False)
    finally:
        patched.undo()


def test_the_locks_of_two_partitions_that_write_the_same_dates_do_not_wait_for_each_other_for_ever(lake: Lake) -> None:
    """DAY1 and DAY2 both write under both dates."""
    for day in (DAY1, DAY2):
        both = event(f"a{day.day}", time=f"{DAY1}T10:00:00Z") + event(f"b{day.day}", time=f"{DAY2}T10:00:00Z")
        lake.write(key(day), zipped(both))
    for _ in range(3):
        threads = [threading.Thread(target=lake.run, args=(day,)) for day in (DAY1, DAY2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert sorted(row["Id"] for row in lake.rows()) == ["a1", "a2", "b1", "b2"]
