from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.data.claims import STALE_S, Claim

HOLD = """
import os, sys
from pathlib import Path
from bench.data.claims import Claim
with Claim(Path(sys.argv[1])) as claim:
    print(claim.held, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "claim"
    with Claim(path) as first:
        assert first.held
        with Claim(path) as second:
            assert not second.held
        assert path.exists()
    assert not list(path.parent.iterdir())


def test_a_claim_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "claim"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "True\n" and path.exists()
    with Claim(path) as claim:
        assert claim.held
    assert not list(tmp_path.iterdir())


def test_a_foreign_claim_holds_until_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "claim"
    for text in ('{"host": "elsewhere", "boot": "", "pid": 1, "started": "1"}', '{"ho', ""):
        path.write_text(text)
        with Claim(path) as claim:
            assert not claim.held
        old = time.time() - STALE_S - 1
        os.utime(path, (old, old))
        with Claim(path) as claim:
            assert claim.held


def test_beat_keeps_a_claim_young(tmp_path: Path) -> None:
    with Claim(tmp_path / "claim") as claim:
        os.utime(claim.path, (0, 0))
        claim.beat()
        assert time.time() - claim.path.stat().st_mtime < 5
