"""Read features from any network and any batch format."""
