"""Evaluation on corpora that are larger than memory: they are read, encoded and counted shard by shard."""
