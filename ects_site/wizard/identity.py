"""By what the wizard recognises itself at the other end of an address."""

import secrets

SENTENCE = f"setup {secrets.token_hex(8)}\n"
"""What ``/healthz`` answers."""
