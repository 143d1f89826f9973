"""What a table rests on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.cells import Record


def provenance(records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Return seeds, commits, devices, configurations, dates, imports and keys, sorted, without repeats."""
    commits = {
        (r["commit"][:12] or "unknown commit") + (" with uncommitted changes" if r["dirty"] else "")
        for r in records
    }
    dates = sorted({r["created"][:10] for r in records} - {""})
    imported = sum(r["imported"] for r in records)
    return {
        "seeds": tuple(str(seed) for seed in sorted({r["seed"] for r in records})),
        "commits": tuple(sorted(commits)),
        "devices": tuple(sorted({r["device"] for r in records} - {""})),
        "configurations": tuple(sorted({r["config"] for r in records} - {""})),
        "dates": tuple(dict.fromkeys((dates[0], dates[-1]))) if dates else (),
        "imported": (f"{imported} of {len(records)} records",) if imported else (),
        "record keys": tuple(sorted(r["key"] for r in records)),
    }
