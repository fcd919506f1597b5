"""Results: one JSON file and one ranks file for each model and task."""
