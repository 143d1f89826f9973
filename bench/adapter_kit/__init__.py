"""The contract suite: what every method and task must do, checked on a CPU in under a minute.

`bench test-adapter NAME` runs it; an adapter's own tests call `check_method` or `check_task`.
"""

from bench.adapter_kit.suite import Finding, check_method, check_task, failures

__all__ = ("Finding", "check_method", "check_task", "failures")
