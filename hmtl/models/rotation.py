"""Rotations on the device: six numbers, matrices, angles between them, and back to poses.

The matrices are those of `hmtl.pose`, R = Rx(pitch) @ Ry(-yaw) @ Rz(roll), in float32 and with
gradients; `hmtl.pose` is their reference.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from hmtl.pose import GIMBAL_SINE, matrix_rows


def matrix_of_six(six: Tensor) -> Tensor:
    """Return the rotations (N, 3, 3) whose first two columns the numbers (N, 6) point along.

    Zhou et al., "On the continuity of rotation representations in neural networks", 2019, eq. 15:
    the columns are made orthonormal by Gram and Schmidt. Unlike angles, the numbers have no jumps.
    """
    first = functional.normalize(six[:, :3], dim=1)
    along = (first * six[:, 3:]).sum(dim=1, keepdim=True)
    second = functional.normalize(six[:, 3:] - along * first, dim=1)
    third = torch.linalg.cross(first, second)
    return torch.stack([first, second, third], dim=2)


def matrix_of_pose(pose: Tensor) -> Tensor:
    """Return the rotations (N, 3, 3) of poses (N, 3) in degrees."""
    yaw, pitch, roll = torch.deg2rad(pose.float()).unbind(dim=1)
    cos_y, sin_y = torch.cos(yaw), -torch.sin(yaw)
    cos_p, sin_p = torch.cos(pitch), torch.sin(pitch)
    cos_r, sin_r = torch.cos(roll), torch.sin(roll)
    rows = matrix_rows(cos_y, sin_y, cos_p, sin_p, cos_r, sin_r)
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def pose_of_matrix(matrix: Tensor) -> Tensor:
    """Return the poses (N, 3) in degrees of rotations (N, 3, 3); yaw in [-90, 90].

    Where yaw is ±90° only the sum of pitch and roll is determined; roll is then 0.
    """
    locked = matrix[:, 0, 2].abs() > GIMBAL_SINE
    yaw = torch.atan2(-matrix[:, 0, 2], torch.hypot(matrix[:, 1, 2], matrix[:, 2, 2]))
    pitch = torch.where(
        locked,
        torch.atan2(matrix[:, 2, 1], matrix[:, 1, 1]),
        torch.atan2(-matrix[:, 1, 2], matrix[:, 2, 2]),
    )
    roll = torch.where(locked, 0.0, torch.atan2(-matrix[:, 0, 1], matrix[:, 0, 0]))
    return torch.stack([yaw, pitch, roll], dim=1) * (180.0 / math.pi)


def geodesic(first: Tensor, second: Tensor) -> Tensor:
    """Return the angles (N,) in degrees, [0, 180], between rotations (N, 3, 3).

    The arc cosine of the trace has an infinite gradient at 0° and 180° and few digits near them;
    this is the angle of its sine and its cosine, whose gradient is at most 1 per radian, and 0
    where it has no direction.
    """
    cosine = ((first * second).sum(dim=(1, 2)) - 1.0) / 2.0
    axis = torch.linalg.cross(first, second, dim=1).sum(dim=2) / 2.0
    square = axis.square().sum(dim=1)
    turned = square > 0.0
    sine = torch.where(turned, torch.where(turned, square, 1.0).sqrt(), 0.0)
    return torch.atan2(sine, cosine) * (180.0 / math.pi)
