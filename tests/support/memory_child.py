"""A program that runs one partition: what :mod:`tests.engines.test_local_memory` measures from outside.

Arguments: the settings as JSON, the partition, and the bytes of raw objects from which on workers are used.
"""

import json
import sys
from datetime import date
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    from audit_pipeline.engines import decoding, run_partition
    from audit_pipeline.settings import Settings

    decoding._WORKERS_FROM_BYTES = int(sys.argv[3])  # type: ignore[misc]
    run_partition(Settings(**json.loads(sys.argv[1])), date.fromisoformat(sys.argv[2]))
