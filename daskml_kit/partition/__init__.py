"""How rows lie in blocks, and blocks on workers."""

from daskml_kit.partition.hashed import hash_partition
from daskml_kit.partition.shuffle import random_partition

__all__ = ["hash_partition", "random_partition"]
