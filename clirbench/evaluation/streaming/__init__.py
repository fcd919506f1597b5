"""Streamed evaluation: corpora larger than memory, counted shard by shard."""
