"""The leaderboard as plain files: submissions in, a folder that opens from disk out."""
