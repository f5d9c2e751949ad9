"""Sources, their modules and the standard library; and how all is put back after a run."""
