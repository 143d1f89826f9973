"""Training: one loop for pretraining and fine-tuning, optimisers, schedules, checkpoints."""
