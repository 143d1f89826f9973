"""What the page can be filtered by. Elements carry numbers of values, never names, which may be anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.budget import Budget
from bench.report.tables import Table

_ALWAYS = ("task", "share", "encoder", "preset")
_SETTING = ("track", "mode", "protocol")  # offered where there are several


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """A filter: the values it offers, in order."""

    name: str  # of the attribute `data-<name>` of what it filters
    label: str
    values: tuple[str, ...]


class Facets:
    """The values that occur in these tables."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._budgets = sorted({budget for table in tables for budget in table.budgets})
        found = {
            "task": sorted({table.key.task for table in tables}),
            "share": [budget.header for budget in self._budgets],
            "encoder": sorted({group.encoder for table in tables for group in table.groups}),
            **{n: sorted({getattr(table.key, n) for table in tables}) for n in ("preset", *_SETTING)},
        }
        self._values: Mapping[str, list[str]] = found

    def offered(self) -> list[Facet]:
        """Return the filters to offer."""
        labels = {"share": "labels"}
        names = (*_ALWAYS, *(name for name in _SETTING if len(self._values[name]) > 1))
        return [
            Facet(name=name, label=labels.get(name, name), values=tuple(self._values[name])) for name in names
        ]

    def of(self, name: str, value: str) -> int:
        """Return the number of a value."""
        return self._values[name].index(value)

    def share(self, budget: Budget) -> int:
        """Return the number of a label budget."""
        return self._budgets.index(budget)

    def of_table(self, table: Table) -> dict[str, str]:
        """Return the attributes of all that belongs to a table."""
        names = ("task", "preset", *_SETTING)
        shares = " ".join(str(self.share(budget)) for budget in table.budgets)
        return {**{n: str(self.of(n, getattr(table.key, n))) for n in names}, "share": shares}

    def of_published(self, name: str, tables: Sequence[Table]) -> str:
        """Return the numbers of the tasks whose published counterpart this is."""
        tasks = {self.of("task", t.key.task) for t in tables if (t.published or t.key.task) == name}
        return " ".join(map(str, sorted(tasks)))
