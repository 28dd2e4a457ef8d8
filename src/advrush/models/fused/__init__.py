"""The fast forward pass: ReLU and pooling shared by all edges, kernels that are quick on a CPU."""
