"""A payment protocol in the style of SET, with present-day cryptography."""
