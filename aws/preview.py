"""A CloudFormation change set as a Markdown table: ``aws cloudformation describe-change-set … | aws/preview.py``.

It needs nothing but Python: it runs on GitHub's machine, where the project is not installed.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def summary(change_set: Mapping[str, Any]) -> str:
    """The summary of a job. What makes a resource anew stands out, for a bucket or a table anew is an empty one."""
    changes = [each["ResourceChange"] for each in change_set["Changes"]]
    if not changes:
        return f"{change_set['StackName']}: nothing changes.\n"
    return "\n".join(_lines(change_set["StackName"], changes)) + "\n"


def _lines(stack: str, changes: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{stack}: {len(changes)} changes.\n"
    yield "| what | resource | type | made anew | because of |"
    yield "|---|---|---|---|---|"
    for change in sorted(changes, key=lambda each: (not _is_made_anew(each), each["LogicalResourceId"])):
        reasons = sorted({detail["Target"].get("Name", detail["Target"]["Attribute"]) for detail in change["Details"]})
        anew = f"**{change['Replacement']}**" if _is_made_anew(change) else "no"
        cells = [change["Action"], change["LogicalResourceId"], change["ResourceType"], anew, ", ".join(reasons)]
        yield f"| {' | '.join(cells)} |"


def _is_made_anew(change: Mapping[str, Any]) -> bool:
    return change.get("Replacement", "False") != "False"


if __name__ == "__main__":
    sys.stdout.write(summary(json.load(sys.stdin)))
