"""Which models to train on: pure rules that see scores, never data."""
