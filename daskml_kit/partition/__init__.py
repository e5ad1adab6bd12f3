"""How rows lie in blocks, and blocks on workers."""

from daskml_kit.partition.hashed import hash_partition
from daskml_kit.partition.placement import place, rebalance
from daskml_kit.partition.report.balance import PartitionReport
from daskml_kit.partition.report.report import partition_report
from daskml_kit.partition.shuffle import random_partition

__all__ = ["PartitionReport", "hash_partition", "partition_report", "place", "random_partition", "rebalance"]
