"""Adapters of data sets: classes derived from `bench.dataset.Dataset`, found by their YAML's address.

The core imports none of them by name. A new one is a module here, or in a folder of one's own, and a YAML of
the same stem in `configs/dataset`. Data that are computed derive from `bench.data.sharded.ShardedDataset`.
"""
