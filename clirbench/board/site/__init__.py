"""The leaderboard as a folder of plain files that opens from disk, made from submissions."""
