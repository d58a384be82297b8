"""Attempts are repeated after transient errors only, with growing pauses, and not for ever."""

from collections.abc import Callable
from itertools import islice

import pytest

from audit_pipeline import retrying
from audit_pipeline.retrying import growing, jittered, retry


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(retrying, "time", stopped)
    return stopped


def failing(*errors: Exception) -> Callable[[], str]:
    """An attempt that raises these errors, one after the other, and then succeeds."""
    left = iter(errors)

    def attempt() -> str:
        for error in left:
            raise error
        return "done"

    return attempt


def is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError)


def test_pauses_grow_up_to_the_longest() -> None:
    assert list(islice(growing(1.0, 2.0, 5.0), 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert list(islice(growing(9.0, 2.0, 5.0), 2)) == [5.0, 5.0]


def test_clients_that_were_refused_together_do_not_pause_alike() -> None:
    pauses = {jittered(10.0) for _ in range(100)}
    assert len(pauses) > 1
    assert all(5.0 <= pause <= 10.0 for pause in pauses)


def test_an_attempt_that_succeeds_is_the_only_one(clock: Clock) -> None:
    assert retry(failing(), is_timeout, growing(1.0, 2.0, 8.0), seconds=60.0, pause=clock.pause) == "done"
    assert clock.pauses == []


def test_after_transient_errors_it_is_tried_again_with_growing_pauses(clock: Clock) -> None:
    attempt = failing(TimeoutError(), TimeoutError(), TimeoutError())
    assert retry(attempt, is_timeout, growing(1.0, 2.0, 60.0), seconds=60.0, pause=clock.pause) == "done"
    first, second, third = clock.pauses
    assert 0.5 <= first <= 1.0 <= second <= 2.0 <= third <= 4.0


def test_another_error_is_raised_at_once(clock: Clock) -> None:
    with pytest.raises(ValueError, match="broken"):
        retry(failing(ValueError("broken")), is_timeout, growing(1.0, 2.0, 8.0), seconds=60.0, pause=clock.pause)
    assert clock.pauses == []


def test_after_its_time_the_last_error_is_raised(clock: Clock) -> None:
    attempt = failing(*(TimeoutError(str(n)) for n in range(1000)))
    with pytest.raises(TimeoutError) as raised:
        retry(attempt, is_timeout, growing(1.0, 1.0, 1.0), seconds=10.0, pause=clock.pause)
    assert 10.0 < clock.now <= 11.0
    assert str(raised.value) == str(len(clock.pauses))


def test_a_pause_can_end_the_waiting(clock: Clock) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry(failing(TimeoutError()), is_timeout, growing(1.0, 2.0, 8.0), seconds=60.0, pause=interrupted)
