"""What is the contract's in this interpreter: its code, its console, its clock, its limit of time."""
