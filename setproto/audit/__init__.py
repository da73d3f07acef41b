"""What a record proves to somebody who has the root certificate and nothing else.

``audit`` reads the whole record of one party again; ``evidence`` cuts a small file about one purchase out of it, and
``statements`` is what anybody derives from such a file.  No private key, no card number and no word of the party whose
record it is are needed for any of it: what is stated was signed by the one who is said to have stated it.
"""

from setproto.audit.evidence import Evidence, export
from setproto.audit.replay import Audited, RecordRefused, audit
from setproto.audit.statements import Proved, Statement, prove

__all__ = ["Audited", "Evidence", "Proved", "RecordRefused", "Statement", "audit", "export", "prove"]
