"""Tables on a terminal: results, comparisons, the board, estimates, lists."""
