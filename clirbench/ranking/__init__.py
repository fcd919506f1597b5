"""Ranking: from vectors or scores to the ranks of the golds. :mod:`clirbench.ranking.kernel` has the tie rule."""
