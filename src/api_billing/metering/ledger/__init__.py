"""The rules of money and counts, and of settlement: pure Python over tables that a store brings. No I/O."""
