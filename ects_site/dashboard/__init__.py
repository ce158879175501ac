"""The first page: what ran, what failed, what comes. From statistics and the newest rows, not the history."""
