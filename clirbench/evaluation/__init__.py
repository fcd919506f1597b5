"""Evaluation: one model on one task, from the task's name to its result."""
