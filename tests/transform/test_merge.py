"""The order of rows in a file."""

from tests.support.lake import DAY1, DAY2, ENTITY, Lake, event, ids, key
from tests.support.rules import lines

#: Each test with a lake.
ON_EVERY_ENGINE = True


def test_the_rows_of_a_file_are_sorted_by_timestamp_id_and_entity_index(lake: Lake) -> None:
    lake.write(key(DAY1, 5), event("b", ENTITY, ENTITY, time="2026-05-01T12:00:00Z") + event("\uff5e"))
    lake.write(key(DAY1, 6), lines(*(event(name, *[ENTITY] * 12) for name in ("😀", "é", "a", "Z", "10", "2", "aa"))))
    lake.write(key(DAY2, 0), event("z", time="2026-05-01T00:00:00.001Z") + event("y", time="2026-05-01T00:00:00.000Z"))
    lake.run()
    found = [(row["Timestamp"], row["Id"], row["EntityIndex"]) for row in lake.rows()]
    assert found == sorted(found)
    assert list(dict.fromkeys(ids(lake.rows()))) == ["y", "z", "10", "2", "Z", "a", "aa", "é", "\uff5e", "😀", "b"]
    assert [row["EntityIndex"] for row in lake.rows() if row["Id"] == "Z"] == list(range(12))
