"""Search with a regularizer of one's own: the norm of the input gradient in place of the curvature.

    python examples/own_regularizer.py

Alpha minimizes `L_val + strength * mean_i || grad_x loss(f(x_i), y_i) ||_2`. Any function of (supernet, x, y) that
autograd can differentiate with respect to alpha will do.
"""

from torch import Tensor

from advrush import DataConfig, SearchConfig, derive, search
from advrush.curvature import input_gradient, safe_norm
from advrush.models.supernet import Supernet
from advrush.modes import evaluating
from advrush.searching import Regularized


def gradient_norm(supernet: Supernet, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean 2-norm of the examples' input gradients; BN in eval mode, so that examples do not mix."""
    with evaluating(supernet):
        return safe_norm(input_gradient(supernet, x, y)).mean()


CONFIG = SearchConfig(
    name="gradient-norm",
    data=DataConfig(dataset="digits", train_examples=256),
    channels=4,
    layers=3,
    epochs=3,
    warmup_epochs=1,
    batch_size=32,
    crop=1,
    flip=False,
)

if __name__ == "__main__":
    run = search(CONFIG, objective=Regularized(gradient_norm, strength=0.1))
    print(derive(run).to_json())
