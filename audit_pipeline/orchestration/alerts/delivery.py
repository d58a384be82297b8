"""Sends what is owed to each channel, and keeps what a channel did not take.

An alert leaves the outbox of a channel only when the channel has it, and the outbox is saved only after that: an alert
can arrive twice (with the same id), but is never lost.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

from audit_pipeline.orchestration.alerts.alert import Alert
from audit_pipeline.orchestration.alerts.channels import Channel, ChannelError, RefusedError
from audit_pipeline.orchestration.alerts.state import Owed

__all__ = ["deliver"]

#: Dagster stops a tick after 60 seconds, and what it did is not saved then: a send may take 15 more.
_SECONDS_A_CHANNEL: Final = 10.0
_SECONDS_IN_ALL: Final = 30.0
#: A channel that refuses so many in a row will refuse the rest too.
_REFUSALS: Final = 3


def deliver(
    outbox: Sequence[Owed], alerts: Sequence[Alert], channels: Sequence[Channel], log: logging.Logger
) -> Sequence[Owed]:
    """What is still owed, after each channel was offered what is owed to it and the new ``alerts``, in that order."""
    names = tuple(channel.name for channel in channels)
    owed = [*outbox, *(Owed(alert, names) for alert in alerts)]
    stop = time.monotonic() + _SECONDS_IN_ALL
    arrived = {
        channel.name: _send_all(channel, [item.alert for item in owed if channel.name in item.channels], stop, log)
        for channel in channels
    }
    left = [
        Owed(item.alert, tuple(n for n in item.channels if n in arrived and item.alert.id not in arrived[n]))
        for item in owed
    ]
    return tuple(item for item in left if item.channels)


def _send_all(channel: Channel, alerts: Sequence[Alert], stop: float, log: logging.Logger) -> set[str]:
    """The ids of those that have arrived."""
    arrived: set[str] = set()
    stop = min(stop, time.monotonic() + _SECONDS_A_CHANNEL)
    refusals = 0
    problem = "there was no time for all"
    for alert in alerts:
        if time.monotonic() >= stop:
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
        except Exception as error:  # a defect of a channel is no reason to keep alerts from the others
            # its text or traceback may hold a token or a URL
            problem = f"a defect ({type(error).__name__})"
            break
        else:
            arrived.add(alert.id)
            refusals = 0
    if waiting := len(alerts) - len(arrived):
        log.warning("alert channel %s: %s; %s alerts wait for the next look", channel.name, problem, waiting)
    return arrived
