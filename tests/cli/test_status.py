"""``status``."""

from datetime import timedelta

from tests.support.cli_harness import LakeCommands
from tests.support.lake import DAY1, DAY2, event, key, zipped


def test_status_shows_what_raw_gained_changed_and_lost_since_the_day_ran(commands: LakeCommands) -> None:
    for name in ("a", "b", "c"):
        commands.lake.write(key(DAY1, 10, name), zipped(event(name)))
    commands.lake.run(DAY1)
    commands.lake.write(key(DAY1, 11, "late"), zipped(event("late")))
    commands.lake.write(key(DAY2, 0, "in the grace hour"), zipped(event("grace")))
    commands.lake.write(key(DAY2, 1, "after it"), zipped(event("after")))
    commands.lake.write(key(DAY1, 10, "b"), zipped(event("b", time="2026-05-01T11:00:00Z")))
    vanishing = commands.lake.raw / key(DAY1, 10, "c")
    kept = vanishing.rename(commands.lake.root / "kept")

    (day,) = commands.json("status")
    assert day["raw_changes"] == {"new": 2, "changed": 1, "vanished": 1}
    shown = commands.shows("status")
    assert "2 new, 1 changed, 1 vanished" in shown
    assert "raw has vanished since 1 of these days ran" in shown
    assert "materialize --from" not in shown

    kept.rename(vanishing)
    assert f"materialize --from {DAY1} --to {DAY1}" in commands.shows("status")
    commands.lake.run(DAY1)
    assert "unchanged" in commands.shows("status")


def test_status_shows_a_day_without_a_run_and_what_waits_for_it(commands: LakeCommands) -> None:
    commands.lake.write(key(DAY2), zipped(event("e1")))
    commands.lake.run(DAY1)
    days = commands.json("status", "--from", str(DAY1), "--to", str(DAY2))
    assert [(day["has_run"], day["rows"]) for day in days] == [(True, 0), (False, None)]
    shown = commands.shows("status", "--to", str(DAY2))
    assert "not run" in shown
    assert "1 waiting" in shown


def test_status_shows_the_last_month_unless_requested_otherwise(commands: LakeCommands) -> None:
    for day in (DAY1, DAY1 + timedelta(days=40)):
        commands.lake.run(day)
    days = [day["partition"] for day in commands.json("status")]
    assert (days[0], days[-1], len(days)) == ("2026-05-11", "2026-06-10", 31)
    assert len(commands.json("status", "--from", "2026-05-01", "--to", "2026-06-10")) == 41
