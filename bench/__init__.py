"""Benchmark harness for human-centric vision pretraining."""
