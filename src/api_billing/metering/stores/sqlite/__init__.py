"""``sqlite:///meter.db``"""
