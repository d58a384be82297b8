"""Sends undelivered alerts to each channel, and keeps those that a channel did not accept.

An alert leaves the outbox of a channel only when it has arrived there, and the outbox is saved only after that: an
alert can arrive twice (with the same id), but is never lost.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

from audit_pipeline.orchestration.alerts.alert import Alert
from audit_pipeline.orchestration.alerts.channels import Channel, ChannelError, RefusedError
from audit_pipeline.orchestration.alerts.state import Undelivered

__all__ = ["deliver"]

#: Dagster ends a tick after 60 seconds and saves nothing of it then. A send that has started may take another 15.
_SECONDS_PER_CHANNEL: Final = 10.0
_SECONDS_FOR_ALL: Final = 30.0
#: A channel that refuses this many in a row will refuse the rest too.
_REFUSALS: Final = 3


def deliver(
    outbox: Sequence[Undelivered], alerts: Sequence[Alert], channels: Sequence[Channel], log: logging.Logger
) -> Sequence[Undelivered]:
    """Send each channel its part of the outbox, then the new ``alerts``. Returns the next outbox."""
    names = tuple(channel.name for channel in channels)
    pending = [*outbox, *(Undelivered(alert, names) for alert in alerts)]
    deadline = time.monotonic() + _SECONDS_FOR_ALL
    arrived: dict[str, set[str]] = {}
    for channel in channels:
        its_alerts = [item.alert for item in pending if channel.name in item.channels]
        arrived[channel.name] = _send_all(channel, its_alerts, deadline, log)
    left = [
        Undelivered(item.alert, tuple(n for n in item.channels if n in arrived and item.alert.id not in arrived[n]))
        for item in pending
    ]
    return tuple(item for item in left if item.channels)


def _send_all(channel: Channel, alerts: Sequence[Alert], deadline: float, log: logging.Logger) -> set[str]:
    """Send alerts up to the deadline or the first failure. Returns the ids of those that have arrived."""
    arrived: set[str] = set()
    deadline = min(deadline, time.monotonic() + _SECONDS_PER_CHANNEL)
    refusals = 0
    problem = "out of time"
    for alert in alerts:
        if time.monotonic() >= deadline:
            break
        try:
            channel.send(alert)
        except RefusedError as error:
            problem = str(error)
            refusals += 1
            if refusals == _REFUSALS:
                break
        except ChannelError as error:
            problem = str(error)
            break
        except Exception as error:  # a defect of one channel must not stop the others
            # its text or traceback may contain a token or a URL
            problem = f"a defect ({type(error).__name__})"
            break
        else:
            arrived.add(alert.id)
            refusals = 0
    if waiting := len(alerts) - len(arrived):
        log.warning("alert channel %s: %s; %s alerts wait for the next tick", channel.name, problem, waiting)
    return arrived
