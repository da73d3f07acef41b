"""The roles of the protocol as state machines without I/O: bytes in; bytes and events out.

``cardholder``, ``merchant`` and ``gateway`` hold the processing rules, each with its transition table on top;
``endpoint`` is what all of them do with any message; ``ports`` is what they ask of the outside world.
"""
