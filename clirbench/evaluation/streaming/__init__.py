"""Evaluation on corpora that are larger than memory: they are read, encoded and compared shard by shard."""
