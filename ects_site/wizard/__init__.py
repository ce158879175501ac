"""``init --mode web``: a small site of its own, which runs before there is a database, and ends with the set-up."""
