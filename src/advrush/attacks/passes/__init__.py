"""Forward and backward passes of attacks: in chunks, counted, on a faster copy whose successes are verified."""
