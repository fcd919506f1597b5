"""Submissions: assemble one, check what strangers send, run a sample of one again."""
