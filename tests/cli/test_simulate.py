"""``simulate``."""

from tests.support.cli_harness import LakeCommands, one_error
from tests.support.lake import DAY1


def test_simulated_events_do_not_get_into_a_bucket_by_accident(commands: LakeCommands) -> None:
    commands.env["AUDIT_RAW_URL"] = "s3://production/raw"
    said = one_error(commands.refusal("simulate", "--from", str(DAY1), "--to", str(DAY1), "--events-per-day", "1"))
    assert "--allow-s3" in said
