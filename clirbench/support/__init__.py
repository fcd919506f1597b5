"""Support: errors, files, paths, progress, the terminal."""
