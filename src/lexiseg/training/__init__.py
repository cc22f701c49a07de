"""Training: the recipes that made, and make again, what the package ships."""
