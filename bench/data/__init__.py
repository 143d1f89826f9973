"""Data sets: budgets and manifests, rendered shards, batches, augmentation, loading."""
