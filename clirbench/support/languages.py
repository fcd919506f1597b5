"""What is true of a language whatever the task."""

# Written without spaces between words.
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
