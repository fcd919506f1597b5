"""Submissions: assemble a submission, check the submissions of strangers, run a sample of a submission again."""
