"""The sections of the report, one file each: its figures, its tables, its sentence and its body."""
