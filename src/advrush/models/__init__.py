"""Networks: supernet, networks of a genotype, hand-crafted ones; their counts, weights and exports."""
