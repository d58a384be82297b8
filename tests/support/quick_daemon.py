"""Dagster's daemon with shorter waits between its looks: whatever it waits for, a test would wait for as well.

What it does at each look is Dagster's own. ``python quick_daemon.py run`` takes what ``dagster-daemon run`` does.
"""

from typing import Final

from dagster._daemon import controller, sensor
from dagster._daemon.cli import main

#: How much shorter: half a minute between two looks at the backfills is three seconds.
_TIMES: Final = 10

_elapsed = sensor.get_elapsed


def _elapsed_in_quick_seconds(state: sensor.InstigatorState) -> float | None:
    elapsed = _elapsed(state)
    return None if elapsed is None else elapsed * _TIMES


if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS //= _TIMES
    controller.RELOAD_WORKSPACE_INTERVAL = 3600  # each starts another code server, of the same code
    sensor.MIN_INTERVAL_LOOP_TIME = 1  # at which it looks whose turn it is
    sensor.get_elapsed = _elapsed_in_quick_seconds
    main()
