"""What the API says of itself: a sentence for every field and parameter, kept in ``fields.yaml``."""
