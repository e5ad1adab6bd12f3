"""Fits that run on a cluster by themselves."""
