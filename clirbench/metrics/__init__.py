"""Metrics: functions of the gold ranks, and what they add up to."""
