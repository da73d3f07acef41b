"""The wire types: what stands in each message, and nothing about what to do with it.

One module per phase (``purchase``, ``payment``), shared pieces in ``common``, the code lists in ``codes``,
the wrapper in ``wrapper``, and one table of all messages in ``registry``.
"""
