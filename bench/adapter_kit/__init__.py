"""The contract suite: what all adapters must do, checked on a CPU in under a minute.

`bench test-adapter NAME` runs it; an adapter's own tests call `check_method`, `check_task`,
`check_dataset` or `check_encoder`.
"""

from bench.adapter_kit.suite import Finding, check_dataset, check_encoder, check_method, check_task, failures

__all__ = ("Finding", "check_dataset", "check_encoder", "check_method", "check_task", "failures")
