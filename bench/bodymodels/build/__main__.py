"""Command line: `python -m bench.bodymodels.build OUT`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.bodymodels.build.export_body import build


def main() -> None:
    """Build into the folder given on the command line and print the quality figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.bodymodels.build", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the npz files and their checksums")
    parser.add_argument(
        "--people", type=int, default=1500, help="samples behind the shape space (default 1500)"
    )
    arguments = parser.parse_args()
    for name, value in build(arguments.out, arguments.people).items():
        print(f"{name:28} {value:.3f}")


if __name__ == "__main__":
    main()
