"""A plain rendering of the published search, for comparison in speed and in value."""
