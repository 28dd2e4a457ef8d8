"""The gate for all that others may have written: any failure to read it is a typed error that names the file."""
