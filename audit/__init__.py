"""Who changed what, and when: one journal of all definitions, orders and sign-ins."""
