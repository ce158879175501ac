"""The site: settings, addresses, and the commands that tie the parts together."""

VERSION = "0.1.0"
