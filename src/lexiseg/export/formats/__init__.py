"""A module is a format of annotations: its name, with dashes, and `FORMAT`."""
