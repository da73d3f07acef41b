"""Registration over the wire: applicants and their CAs."""
