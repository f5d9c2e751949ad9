"""Who is asking: extractors for headers, keys, tokens and bodies."""
