"""The board: a table of submissions, and the site that shows the table."""
