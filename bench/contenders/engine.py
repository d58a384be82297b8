"""The local engine with its default settings, from raw folder to commit; the last argument is the number of workers."""

import sys

from audit_pipeline.engines import run_partition
from audit_pipeline.settings import Settings
from bench.cases import DAY


def main() -> None:
    raw, out, _, workers = sys.argv[1:]
    settings = Settings(_env_file=None, raw_url=raw, lake_url=out, start_date=DAY, workers=int(workers))
    run_partition(settings, DAY)


if __name__ == "__main__":
    main()
