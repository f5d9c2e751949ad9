"""The main job: bill a real access log on an embedded GenVM and print the usage report."""
