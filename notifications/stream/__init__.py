"""The kernel: publish, number, read, bell, hub. The database is the truth."""
