"""How annotated classes become storage: slots, descriptors of types, views."""
