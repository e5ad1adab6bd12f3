"""Reductions that can be asked of blocks: partial answers that combine to the whole."""
