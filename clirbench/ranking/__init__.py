"""Ranking: from vectors or scores to the ranks of the gold candidates."""
