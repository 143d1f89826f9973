from __future__ import annotations

from bench.report.published import COLUMNS, LABELS, load_published, published_tables

TASK = "human parsing (RGB)"


def test_the_published_numbers_are_complete() -> None:
    rows = load_published()
    assert len(rows) == 1422 and tuple(rows) == COLUMNS
    assert rows["value"].astype(float).notna().all()
    assert set(rows["paper"]) == {"HCMoCo", "CroCo-Body/Hand", "LiftedCL"}


def test_a_task_is_pivoted_without_repeats() -> None:
    (table,) = published_tables([TASK, TASK])
    assert (table.paper, table.task) == ("HCMoCo", TASK)
    assert tuple(table.frame) == (*LABELS, "mIoU (%)", "mAcc (%)", "aAcc (%)")
    assert not table.frame.duplicated([*LABELS]).any()
    rows = load_published()
    printed = rows[(rows["task"] == TASK) & (rows["method"] == "HCMoCo") & (rows["metric"] == "mIoU")].iloc[0]
    matching = table.frame[(table.frame[[*LABELS]] == printed[[*LABELS]]).all(axis=1)]
    assert matching["mIoU (%)"].to_list() == [printed["value"]]
    assert table.frame.map(type).eq(str).all(axis=None)  # numbers as printed, "-" where there is none


def test_supplements_do_not_add_metrics_and_unknown_tasks_add_nothing() -> None:
    (detection,) = published_tables(["DensePose (detection AP)"])
    assert list(detection.frame)[len(LABELS) :] == ["BBox AP (%)", "GPS AP (%)", "GPSM AP (%)", "IoU AP (%)"]
    assert published_tables(["embedded_task"]) == []
