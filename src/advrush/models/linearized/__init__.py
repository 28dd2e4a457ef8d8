"""The supernet linearized at x: value, JVP and VJP, and from them the gradient of L_lambda."""
