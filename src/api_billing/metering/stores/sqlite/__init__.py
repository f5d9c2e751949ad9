"""``sqlite:///meter.db``: one file, one machine."""
