"""Partitioning: rows into blocks, at random or by key, and blocks onto workers."""

from daskml_kit.partition.hash import hash_partition
from daskml_kit.partition.placement import place, rebalance
from daskml_kit.partition.random import random_partition
from daskml_kit.partition.report import PartitionReport, partition_report

__all__ = ["PartitionReport", "hash_partition", "partition_report", "place", "random_partition", "rebalance"]
