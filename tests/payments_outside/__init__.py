"""Payment clients and judges that nobody here wrote, against metered APIs."""
