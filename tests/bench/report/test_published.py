from __future__ import annotations

from bench.report.published import COLUMNS, load_published, published_tables

TASK = "human parsing (RGB)"


def test_the_published_numbers_are_complete() -> None:
    rows = load_published()
    assert len(rows) == 1422
    assert set(rows[0]) == set(COLUMNS)
    assert all(float(row["value"]) == float(row["value"]) for row in rows)
    assert {row["paper"] for row in rows} == {"HCMoCo", "CroCo-Body/Hand", "LiftedCL"}


def test_a_task_is_pivoted_without_repeats() -> None:
    tables = published_tables([TASK, TASK])
    assert [(t.paper, t.task) for t in tables] == [("HCMoCo", TASK)]
    (table,) = tables
    assert table.metrics == ("mIoU (%)", "mAcc (%)", "aAcc (%)")
    labels = [row.labels for row in table.rows]
    assert len(set(labels)) == len(labels)
    printed = next(
        row
        for row in load_published()
        if (row["task"], row["method"], row["metric"]) == (TASK, "HCMoCo", "mIoU")
    )
    matching = next(row for row in table.rows if row.labels == tuple(printed[c] for c in COLUMNS[3:9]))
    assert matching.cells(["mIoU (%)", "none"]) == [printed["value"], "-"]


def test_supplements_do_not_add_metrics_and_unknown_tasks_add_nothing() -> None:
    (detection,) = published_tables(["DensePose (detection AP)"])
    assert detection.metrics == ("BBox AP (%)", "GPS AP (%)", "GPSM AP (%)", "IoU AP (%)")
    assert published_tables(["embedded_task"]) == ()
