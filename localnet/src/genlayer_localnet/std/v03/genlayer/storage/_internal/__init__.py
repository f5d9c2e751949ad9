"""Where tools expect the descriptors of types."""
