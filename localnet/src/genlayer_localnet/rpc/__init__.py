"""The localnet as a JSON-RPC server, for clients that were made for a GenLayer node or for GenLayer Studio."""
