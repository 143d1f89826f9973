"""The contract suite: what every method, task and data set must do, checked on a CPU in under a minute.

`bench test-adapter NAME` runs it; an adapter's own tests call `check_method`, `check_task` or
`check_dataset`.
"""

from bench.adapter_kit.suite import Finding, check_dataset, check_method, check_task, failures

__all__ = ("Finding", "check_dataset", "check_method", "check_task", "failures")
