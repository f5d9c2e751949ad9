"""The demo of the whole way: real HTTP requests to a metered API whose consumers pay from holds on the contract."""
