"""What nondeterministic blocks ask the outside world: HTTP and prompts, real or mocked."""
