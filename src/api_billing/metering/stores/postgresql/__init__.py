"""``postgresql://``"""
