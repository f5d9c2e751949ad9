"""What can be seen of the meter: metrics and logs."""
