"""Code to copy: an order engine on a real tape, and an order placed in a few lines."""
