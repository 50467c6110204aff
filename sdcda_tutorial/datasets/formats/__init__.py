"""One file for each native format: where its files lie and how its labels are read."""
