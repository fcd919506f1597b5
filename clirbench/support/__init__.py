"""The foundation that every room stands on: errors, files, paths, progress, the terminal."""
