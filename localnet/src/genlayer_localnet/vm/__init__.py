"""Runs one call: the host interface, and the VMs that a running contract starts."""
