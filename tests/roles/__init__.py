"""The four roles: what each does with good messages, and what it refuses."""
