"""docs/images/demo.png, the demo's bad day in Dagster's UI: ``python -m tools.demo_picture YYYY-MM-DD``.

Run ``make demo``, which names the bad day, and ``make dev`` first.
"""

import re
import sys
from typing import Final

from tests.servers.chromium import browser_page, require_chromium
from tests.support.paths import DOCS

_UI: Final = "http://127.0.0.1:3000"


def main(bad_day: str) -> None:
    with browser_page(require_chromium()) as page:
        page.goto(f"{_UI}/assets/audit_log_parquet")
        page.get_by_role("tab", name="Checks").click()
        page.get_by_text("readable_share", exact=True).locator("visible=true").first.click()
        page.get_by_role("tab", name="Partitions").last.click()
        page.get_by_text(bad_day, exact=True).locator("visible=true").first.click()
        page.get_by_text(re.compile("events are in quarantine")).first.wait_for()
        page.screenshot(path=DOCS / "images" / "demo.png")


if __name__ == "__main__":
    main(sys.argv[1])
