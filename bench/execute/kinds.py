"""Everything that the kinds of steps import; workers are forked from a process that has imported this."""

from bench.execute import finetuning, pretraining, ready, scoring

__all__ = ("finetuning", "pretraining", "ready", "scoring")
