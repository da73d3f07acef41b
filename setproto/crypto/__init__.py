"""Signed and sealed objects and the dual signature: a library usable on its own (see ``cms`` and ``dual``)."""
