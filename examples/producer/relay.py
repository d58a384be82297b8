"""The relay of an outbox, as a process of its own: run one beside the application, or two for safety.

    AUDIT_BUS=audit python relay.py sqlite:///shop.db [--once]

It stops at SIGTERM or Ctrl-C after the request that is under way; killed at any moment, it loses nothing.
"""

import logging
import os
import signal
import sys
import threading

from sqlalchemy import create_engine

from audit_pipeline.producer import EventBridge
from audit_pipeline.producer.outbox import OutboxRelay
from audit_pipeline.producer.outbox.sqlalchemy import SqlAlchemyOutbox


def main(url: str, is_once: bool) -> None:
    logging.basicConfig(level=logging.INFO)
    outbox = SqlAlchemyOutbox(create_engine(url))
    outbox.create_tables()
    relay = OutboxRelay(outbox, EventBridge(os.environ["AUDIT_BUS"]))
    if is_once:
        print(f"{relay.drain()} events sent")
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    relay.run(stop)


if __name__ == "__main__":
    main(sys.argv[1], "--once" in sys.argv)
