"""The fused forward pass of cells: ReLU and pooling shared by all edges, fast CPU kernels."""
