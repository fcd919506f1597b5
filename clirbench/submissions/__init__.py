"""Submissions: making one, checking what strangers send, re-running a sample of it."""
