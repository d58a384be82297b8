"""The kernel alone: raw bytes to Arrow, in one process. Prints its number of rows."""

import sys

from audit_pipeline.store.objects import open_store
from audit_pipeline.store.raw import list_inputs
from audit_pipeline.transform.decode import decode_batches
from audit_pipeline.transform.decoded import RawObject
from audit_pipeline.transform.ownership import Scope
from bench.cases import DAY


def main() -> None:
    raw = open_store(sys.argv[1])
    fetched = enumerate(raw.get_many(list_inputs(raw, DAY, grace_hours=1)), 1)
    objects = (RawObject(info.key, number, data) for number, (info, data) in fetched)
    scope = Scope(DAY, grace_hours=1, first_partition=DAY)
    print(sum(len(decoded.rows) for decoded in decode_batches(objects, scope, batch_bytes=128 << 20)))


if __name__ == "__main__":
    main()
