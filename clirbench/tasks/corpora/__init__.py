"""Corpora: candidates that are read shard by shard."""
