"""Numbers and names as text: decimals by unit, names that cannot break Markdown or file systems."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from functools import lru_cache

TIE, OTHER_MODALITY, EXPOSED, ON_FRONT = "≈", "†", "‡", "◆"  # marks in tables
FROZEN = ("linear", "attentive", "knn")  # protocols that leave the encoder as it is
_DECIMALS = {"%": 1, "mm": 1, "": 3}
_UNIT_NAMES = {"": "ratio"}


def number(value: float, unit: str, more: int = 0) -> str:
    """Return a value with the decimals of its unit (3 for unknown units) and `more`."""
    return f"{value:.{_DECIMALS.get(unit, 3) + more}f}"


def signed(value: float, unit: str, more: int = 0) -> str:
    """Return a difference with its sign and `more` decimals than usual; what rounds to zero has no sign."""
    text = f"{value:+.{_DECIMALS.get(unit, 3) + more}f}"
    return text if text.strip("+-0.") else text[1:]


def p_value(p: float) -> str:
    """Return `p=0.012`, with at most three decimals; `p<0.001` below them."""
    return "p<0.001" if p < 0.001 else f"p={p:.2g}" if p < 0.1 else f"p={p:.2f}"


def factor(value: float, state: str, smallest: float) -> str:
    """Return a factor of `savings` in words.

    >>> [factor(value, state, 0.1) for value, state in ((2.34, "reached"), (0, "beyond"), (0, "not reached"))]
    ['2.3', 'more than 10', 'not reached']
    """
    if state != "reached":
        return f"more than {1 / smallest:.3g}" if state == "beyond" else state
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def amount(value: float) -> str:
    """Return a number of things for people: `20,480`; `-` where unknown (NaN)."""
    return "-" if value != value else f"{value:,.0f}"


def memory(megabytes: float) -> str:
    """Return an amount of memory, `-` where unknown (NaN)."""
    return "-" if megabytes != megabytes else f"{megabytes:,.0f} MB"


def duration(seconds: float) -> str:
    """Return a time for people: `12 s`, `3.4 min`, `1.2 h`; `-` where unknown (NaN)."""
    if seconds != seconds:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def protocol_words(name: str) -> str:
    """Return a protocol for people; the version alone means fine-tuning.

    >>> protocol_words("2"), protocol_words("linear-2")
    ('2', 'linear-2 (frozen encoder)')
    """
    return f"{name} (frozen encoder)" if is_frozen(name) else name


def is_frozen(protocol: str) -> bool:
    """Say whether a protocol probes a frozen encoder: `linear-2`, not `2` or `best of 0.01, 0.1-2`."""
    return protocol.partition("-")[0] in FROZEN


def unit_name(unit: str) -> str:
    """Return the unit as a word; ratios are named."""
    return _UNIT_NAMES.get(unit, unit)


@lru_cache(maxsize=8192)  # names occur many times
def plain(text: str) -> str:
    """Return a name on one line, without control, formatting or other invisible characters."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    visible = "".join(c for c in kept if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn"))
    return " ".join(visible.split())


@lru_cache(maxsize=8192)
def markdown(text: str) -> str:
    """Return a name that Markdown shows as it is, also inside a table cell."""
    escaped = re.sub(r"([\\`*\[\]|~$!#])", r"\\\1", plain(text))
    escaped = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)
    escaped = html.escape(escaped, quote=False)
    return re.sub(r"^(\d+)([.)])(?=\s|$)|^([-+=])(?=[\s=-]|$)", _escape_block, escaped)


def _escape_block(match: re.Match[str]) -> str:
    """Escape what would begin a list, a heading or a rule at the start of a line."""
    return f"{match[1]}\\{match[2]}" if match[1] else f"\\{match[3]}"


def slug(*words: str) -> str:
    """Return a file name made of the words; a short hash keeps apart what the plain name cannot."""
    name = "_".join(re.sub(r"[^a-z0-9.=-]+", "_", word.lower()).strip("._") for word in words if word)
    if (
        all(re.fullmatch(r"[a-z0-9]([a-z0-9.=_-]*[a-z0-9])?", word) for word in words if word)
        and len(name) <= 120
    ):
        return name
    return f"{name[:100]}_{hashlib.sha256(repr(words).encode()).hexdigest()[:8]}"


def known(word: str) -> str:
    """Return a text, "not recorded" where there is none."""
    return word or "not recorded"


def count(n: int, noun: str) -> str:
    """Return `1 seed`, `3 seeds`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(items: list[str], limit: int = 8) -> str:
    """Join names with commas; beyond `limit` only their number is given."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "") if items else "none"
