"""Facts about languages that hold for every task."""

# Languages that are written without spaces between words.
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
