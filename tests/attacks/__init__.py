"""Attacks on what the project promises, as data: each module holds one kind, and a test of the same name carries them out."""
