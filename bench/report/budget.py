"""Label budgets: reading `1/10`, `fraction=1/10` or `shots=16`, ordering them, naming them for people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from bench.errors import DataError

SHARES, SHOTS = "fractions", "shots"  # kinds of budgets, which no table mixes
EACH = {SHARES: "label share", SHOTS: "shot count"}  # what a column of a table is
AXIS = {SHARES: "share of the labels", SHOTS: "labelled examples per class"}
_SHOTS = re.compile(r"(?:shots=(\d+)|(\d+)[ -]?shots?)")


@dataclass(frozen=True, slots=True, order=True)
class Budget:
    """How many labels a cell was fine-tuned with. Orders as: shots ascending, then fractions ascending."""

    is_fraction: bool
    value: Fraction  # share of the labels in (0, 1], or labelled examples per class

    @property
    def kind(self) -> str:
        """Return `SHARES` or `SHOTS`."""
        return SHARES if self.is_fraction else SHOTS

    @property
    def whole(self) -> bool:
        """Say whether these are all labels."""
        return self.is_fraction and self.value == 1

    @property
    def label(self) -> str:
        """Return the canonical name: `1/10`, `shots=16`."""
        return str(self.value) if self.is_fraction else f"shots={self.value}"

    @property
    def title(self) -> str:
        """Return the name used in tables and plots: `10 %`, `0.2 %`, `1/3`, `16 shots`."""
        if not self.is_fraction:
            return f"{self.value} shots"
        percent = self.value * 100
        exact = Fraction(f"{float(percent):.4g}") == percent
        return f"{float(percent):.4g} %" if exact else str(self.value)

    @property
    def header(self) -> str:
        """Return the title with what is meant: `10 % labels`, `16 shots`."""
        return f"{self.title} labels" if self.is_fraction else self.title


@lru_cache(maxsize=1024)
def parse(label: str) -> Budget:
    """Read a budget label.

    Raises:
        DataError: neither a fraction in (0, 1] nor a number of shots.
    """
    shots = _SHOTS.fullmatch(label)
    if shots:
        count = int(shots[1] or shots[2])
        if count >= 1:
            return Budget(is_fraction=False, value=Fraction(count))
    else:
        try:
            value = Fraction(label.removeprefix("fraction="))
        except (ValueError, ZeroDivisionError):
            value = Fraction(0)
        if 0 < value <= 1:
            return Budget(is_fraction=True, value=value)
    raise DataError(f'label fraction "{label}" is neither a fraction in (0, 1] nor a number of shots')
