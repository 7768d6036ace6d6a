"""The application around Lightning: one configuration in, one run directory out."""
