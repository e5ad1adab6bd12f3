"""Dashboard: a live page of fits, trainings, searches and jobs."""

from daskml_kit.dashboard.live_page import Dashboard

__all__ = ["Dashboard"]
