"""A certification authority for people: a whole hierarchy, declared in one file and kept in one database.

``config`` reads the declaration, ``vault`` keeps the private keys under a passphrase, ``register`` and ``records`` say
what lies in the database, ``office`` does the work, ``audit`` compares the log with what there is.  The command is
``setproto ca`` (setproto/cli/ca.py).  Nothing here asks the time or the user; the operations are those of ``pki``.
"""
