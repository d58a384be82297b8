"""AWS on this machine, as far as the audit log needs it: ``make dev-aws``.

S3 (SeaweedFS), and stand-ins for EventBridge, Firehose, Glue and Athena, all on 127.0.0.1. A client of AWS that
has their addresses takes them for the real ones. What is in S3 stays in the folder; the rest is made anew each time.
"""

import argparse
import os
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit_pipeline.settings import QuerySettings
from tests.servers.athena import AthenaServer, WorkGroup
from tests.servers.athena_lake import GlueEngine
from tests.servers.aws_clients import AWS_VARIABLES
from tests.servers.event_bus import EventBus
from tests.servers.firehose import DeliveryStream, Destination, Faults, FirehoseServer
from tests.servers.glue_catalog import glue_server
from tests.servers.s3 import S3Server, s3_server
from tests.support.stack_template import STACK, Deployed

__all__ = ["DevAws", "dev_aws"]

BUCKET: Final = "audit-log"
BUS: Final = "audit"
STREAM: Final = "audit-log"
#: Of the stack, as its outputs name them.
_RAW: Final = "raw/eventbridge"
_LAKE: Final = "analytics"
_RESULTS: Final = f"s3://{BUCKET}/athena-results/"


@dataclass(frozen=True)
class DevAws:
    """All servers, running. ``variables`` are the settings of a process that works with them."""

    s3: S3Server
    bus: EventBus
    stream: DeliveryStream
    variables: Mapping[str, str]


@contextmanager
def dev_aws(
    folder: Path, *, buffer_seconds: float, buffer_bytes: int = 5 << 20, faults: Faults | None = None
) -> Iterator[DevAws]:
    """Events put on the bus get into hour folders of the bucket, as the stack's Firehose writes them.

    At the end, what is in a buffer is written first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration = Deployed(STACK).properties("DeliveryStream")["ExtendedS3DestinationConfiguration"]
    destination = replace(
        Destination.of(configuration), bucket=BUCKET, buffer_seconds=buffer_seconds, buffer_bytes=buffer_bytes
    )
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(folder))
        if BUCKET not in {bucket["Name"] for bucket in s3.client.list_buckets()["Buckets"]}:
            s3.client.create_bucket(Bucket=BUCKET)
        glue = stack.enter_context(glue_server(folder))
        lake = QuerySettings(lake_url=f"s3://{BUCKET}/{_LAKE}")
        athena = stack.enter_context(AthenaServer(GlueEngine(glue.client, lake), s3, {"primary": WorkGroup(_RESULTS)}))
        firehose = stack.enter_context(FirehoseServer(s3.client))
        stream = firehose.add(STREAM, destination, faults=faults)
        bus = stack.enter_context(EventBus(BUS, targets=[stream.put_event]))
        variables = AWS_VARIABLES | {
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
            "AWS_ENDPOINT_URL_GLUE": glue.endpoint,
            "AWS_ENDPOINT_URL_ATHENA": athena.endpoint,
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.endpoint,
            "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.endpoint,
            "AUDIT_RAW_URL": f"s3://{BUCKET}/{_RAW}",
            "AUDIT_LAKE_URL": f"s3://{BUCKET}/{_LAKE}",
            "AUDIT_QUERY_BACKEND": "athena",
        }
        yield DevAws(s3, bus, stream, variables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".dev-aws"), help="where everything goes")
    parser.add_argument("--buffer-seconds", type=float, default=10, help="how long Firehose waits for more events")
    given = parser.parse_args()
    folder = given.folder.resolve()
    (folder / "dagster").mkdir(parents=True, exist_ok=True)
    stopped = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stopped.set())
    with dev_aws(folder, buffer_seconds=given.buffer_seconds) as aws:
        os.environ.update(aws.variables)  # the stand-in for Athena reads S3 as any client does
        start = folder / "start-date"
        if not start.exists():
            start.write_text(f"{datetime.now(UTC):%Y-%m-%d}")
        variables = {**aws.variables, "AUDIT_START_DATE": start.read_text(), "DAGSTER_HOME": str(folder / "dagster")}
        (folder / "env").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))
        print(f"EventBridge (bus {BUS!r}) → Firehose → s3://{BUCKET}/{_RAW}, Glue and Athena are ready.")
        print(f"In another terminal: set -a; . {shlex.quote(str(folder / 'env'))}; set +a")
        print("Ctrl-C ends them; what Firehose holds is written first.", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
