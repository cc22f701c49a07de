"""Many pictures: what `lexiseg.run_batch` does, and how results of a picture are written."""
