"""Partitioning: rows into blocks, at random or by key, and blocks onto workers."""

from daskml_kit.partition.placement import place, rebalance
from daskml_kit.partition.report import PartitionReport, partition_report
from daskml_kit.partition.shuffle import hash_partition, random_partition

__all__ = ["PartitionReport", "hash_partition", "partition_report", "place", "random_partition", "rebalance"]
