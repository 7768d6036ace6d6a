"""The application around Lightning: it turns one configuration into one run directory."""
