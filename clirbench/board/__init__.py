"""The board: submissions read into a table, and the site that shows it."""
