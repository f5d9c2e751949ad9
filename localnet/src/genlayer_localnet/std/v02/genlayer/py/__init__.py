"""The part of the library that does not need a running contract: types, codec, storage, schema."""
