"""From words to a plan: registry, overrides, checks, steps with keys. No torch."""
