"""The wire types: their limits, their one encoding, and the wrapper around them."""
