"""The roles as servers: one process each, over HTTP, with a configuration file, limits, metrics and logs.

``http`` is what all have in common, ``ca``, ``bank``, ``gateway`` and ``merchant`` are what each does, ``founding``
makes a whole shop in a directory.  The commands are ``setproto up`` and ``setproto serve``.
"""
