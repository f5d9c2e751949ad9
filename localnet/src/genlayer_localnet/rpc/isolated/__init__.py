"""The chain in a process of its own, which has little: no environment, no files, no network, no other processes."""
