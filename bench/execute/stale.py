"""Records that another version of a shipped adapter has computed: said, never computed again unasked."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from functools import cache

from bench.adapters.sources import is_shipped, shipped_digest
from bench.grid.plan import Plan, code_of
from bench.records.store import Store

_DIGEST = re.compile(rb'"source_sha256":\s*"([0-9a-f]{16})"')


def stale(plan: Plan, store: Store) -> list[str]:
    """Return a line per adapter whose code is not what it was when records of a plan were made.

    Adapters outside the project have their code in the key, so that theirs are never stale.
    """
    now = cache(shipped_digest)
    found: Counter[str] = Counter()
    for step in plan.steps:
        if step.kind in ("pretrain", "finetune", "probe"):
            with suppress(OSError):  # not done
                made = _DIGEST.search((store.folder(step) / "record.json").read_bytes())
                addresses = code_of(step.spec)
                if made and made[1].decode() != now(addresses):
                    files = [
                        f"{a.partition(':')[0].replace('.', '/')}.py" for a in addresses if is_shipped(a)
                    ]
                    found[" or ".join(files)] += 1
    return [
        f"{count} record{'s were' if count > 1 else ' was'} computed by another version of {files}; "
        "raise `version` in its YAML to have them computed again"
        for files, count in found.items()
    ]
