from __future__ import annotations

import pytest
import torch
from torch import nn

from advrush.kernels.batch_statistics import fixed_scale_and_shift, move_running_statistics


@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
def test_running_statistics_move_as_the_library_moves_them(momentum: float | None) -> None:
    torch.manual_seed(0)
    theirs, ours = (nn.BatchNorm2d(3, momentum=momentum).double() for _ in range(2))
    for _ in range(4):
        x = torch.randn(5, 3, 4, 4, dtype=torch.float64) * 2 + 1
        theirs(x)
        move_running_statistics(ours, x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=1))
    for name, value in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), value, rtol=1e-12, atol=1e-12)


def test_a_layer_without_running_statistics_stays_as_it_is() -> None:
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    move_running_statistics(norm, torch.ones(3), torch.ones(3))
    assert norm.running_mean is None


@pytest.mark.parametrize("affine", [True, False])
def test_fixed_scale_and_shift_are_the_layer_in_eval_mode(affine: bool) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, affine=affine).double().eval()
    for value in norm.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 2.0)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    scale, shift = fixed_scale_and_shift(norm)
    torch.testing.assert_close(x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1), norm(x), rtol=1e-12, atol=1e-12)
