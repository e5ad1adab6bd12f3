"""Searches that train models block by block, and give up those that do not do well."""
