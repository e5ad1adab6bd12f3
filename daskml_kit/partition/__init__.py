"""How rows lie in blocks, and blocks on workers."""

from daskml_kit.partition.shuffle import random_partition

__all__ = ["random_partition"]
