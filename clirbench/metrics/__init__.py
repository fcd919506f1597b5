"""Metrics: functions of the ranks of golds, their means with intervals, and tests of differences."""
