import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from hmtl.models.heads import HopenetHead, RegressionHead, bin_count, bin_index
from hmtl.models.loading import load_backbone
from hmtl.models.multi_task import MultiTaskNet

DEFAULTS = {
    "backbone": "resnet18",
    "head": "hopenet",
    "bin_width": 3,
    "decode": "left",
    "dropout": 0.5,
    "pretext": "puzzle",
    "grid": 3,
    "branch_point": 3,
    "pretext_dropout": 0.2,
    "heads": True,
    "seed": 0,
}


def build(**changes: object) -> MultiTaskNet:
    return MultiTaskNet(**(DEFAULTS | changes))


def random_images(count: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, size, size, generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


def with_lively_statistics(net: MultiTaskNet) -> MultiTaskNet:
    """Give the batch norms numbers that are not their initial ones, so that losing them shows."""
    generator = torch.Generator().manual_seed(7)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    return net.eval()


@pytest.mark.parametrize(
    ("pretext", "puzzle", "turns"),
    [
        ("none", None, None),
        ("puzzle", (2, 9, 9), None),
        ("rotation", None, (2, 9, 4)),
        ("puzzle-rotation", (2, 9, 9), (2, 9, 4)),
    ],
)
def test_outputs_have_a_classifier_for_each_cell(pretext, puzzle, turns):
    outputs = build(pretext=pretext)(random_images(2))
    assert outputs.pose.shape == (2, 3)
    assert outputs.logits.shape == (2, 3, 66)
    assert (None if outputs.puzzle is None else outputs.puzzle.shape) == puzzle
    assert (None if outputs.turns is None else outputs.turns.shape) == turns


@pytest.mark.parametrize("branch_point", [1, 2, 3, 4])
def test_a_pretext_branch_starts_with_the_next_stage_of_resnet50(branch_point):
    plain = torchvision.models.resnet50(weights=None)
    block = build(backbone="resnet50", branch_point=branch_point, grid=2).branches["puzzle"].block
    widths = [256, 512, 1024, 2048]
    if branch_point < 4:
        expected = getattr(plain, f"layer{branch_point + 1}")[0]
        shapes = {name: tensor.shape for name, tensor in expected.state_dict().items()}
        assert {name: tensor.shape for name, tensor in block.state_dict().items()} == shapes
        assert block.stride == expected.stride
    else:
        assert block.conv1.weight.shape == (512, 2048, 1, 1)
        assert block.conv3.weight.shape == (2048, 512, 1, 1)
        assert block.downsample[0].stride == (1, 1)
    features = torch.randn(1, widths[branch_point - 1], 4, 4)
    side = 2 if branch_point < 4 else 4
    assert block(features).shape[2:] == (side, side)


def test_a_branch_sees_the_features_of_its_point_only():
    net = build(branch_point=2, dropout=0.0, pretext_dropout=0.0)
    net(random_images(2)).puzzle.sum().backward()
    stages = [net.backbone.layer1, net.backbone.layer2, net.backbone.layer3, net.backbone.layer4]
    reached = [any(p.grad is not None for p in stage.parameters()) for stage in stages]
    assert reached == [True, True, False, False]
    assert all(parameter.grad is None for parameter in net.pose.parameters())


def test_puzzle_and_rotation_share_no_branch():
    net = build(pretext="puzzle-rotation")
    net(random_images(2)).turns.sum().backward()
    assert all(p.grad is None for p in net.branches["puzzle"].parameters())
    assert all(p.grad is not None for p in net.branches["rotation"].parameters())


def test_backbone_and_pose_head_do_not_depend_on_the_pretext_task():
    torch.manual_seed(1)
    plain = build(pretext="none", branch_point=1).weights()
    torch.manual_seed(2)
    torch.rand(5)
    for changes in ({}, {"pretext": "puzzle-rotation", "grid": 2}, {"heads": False}):
        weights = build(**changes).weights()
        assert weights.keys() == plain.keys()
        assert all(torch.equal(weights[name], plain[name]) for name in plain)


def test_another_seed_gives_other_weights():
    first, second = build(seed=1), build(seed=2)
    assert not torch.equal(first.backbone.conv1.weight, second.backbone.conv1.weight)
    assert not torch.equal(first.pose.linear.weight, second.pose.linear.weight)
    branches = [net.branches["puzzle"].linear.weight for net in (first, second)]
    assert not torch.equal(*branches)


def test_building_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_are_drawn_as_torchvision_draws_them():
    net = build(backbone="resnet50")
    convolution = net.backbone.layer3[1].conv2.weight
    assert convolution.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    branch = net.branches["puzzle"].block.conv1.weight
    assert branch.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    linear = net.pose.linear.weight
    assert linear.abs().max().item() == pytest.approx(2048**-0.5, rel=0.01)


def test_heads_false_leaves_the_branches_out():
    net = build(heads=False)
    assert len(net.branches) == 0
    outputs = net(random_images(2))
    assert outputs.puzzle is None
    assert outputs.turns is None


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_the_plain_network_is_torchvisions_resnet_with_a_pose_head(backbone):
    net = with_lively_statistics(build(backbone=backbone, seed=3))
    weights = net.weights()
    plain = getattr(torchvision.models, backbone)(weights=None)
    plain.fc = nn.Identity()
    plain.load_state_dict({k: v for k, v in weights.items() if not k.startswith("pose.")})
    linear = nn.Linear(weights["pose.linear.weight"].shape[1], 3 * 66)
    linear.load_state_dict({k: weights[f"pose.linear.{k}"] for k in ("weight", "bias")})
    images = random_images(2)
    with torch.no_grad():
        probabilities = linear(plain.eval()(images)).view(2, 3, 66).softmax(dim=-1)
        expected = (probabilities * (torch.arange(66) * 3.0 - 99.0)).sum(dim=-1)
        assert torch.equal(net.pose_network()(images), expected)
        assert torch.equal(net(images).pose, expected)


def test_the_pose_network_shares_weights_and_mode():
    net = build().eval()
    plain = net.pose_network()
    assert not plain.training
    assert plain.backbone.conv1.weight is net.backbone.conv1.weight
    assert {name.split(".")[0] for name in plain.state_dict()} == {"backbone", "pose"}


@pytest.mark.parametrize("head", ["hopenet", "regression", "sixd"])
def test_weights_come_back_through_load_weights(head):
    source = with_lively_statistics(build(head=head, seed=4, pretext="puzzle"))
    target = build(head=head, seed=5, pretext="none").eval()
    target.load_weights({name: tensor.clone() for name, tensor in source.weights().items()})
    images = random_images(2)
    assert torch.equal(source(images).pose, target(images).pose)


def test_load_weights_names_what_does_not_fit_and_changes_nothing():
    net = build(bin_width=3)
    before = copy.deepcopy(net.state_dict())
    weights = build(bin_width=1, seed=9).weights()
    del weights["conv1.weight"]
    weights["extra"] = torch.zeros(1)
    message = r"missing conv1\.weight; unexpected extra; other shape pose\.linear\.bias, pose\.lin"
    with pytest.raises(ValueError, match=message):
        net.load_weights(weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_load_backbone_takes_torchvisions_file_and_ignores_its_classifier():
    source = torchvision.models.resnet18(weights=None).state_dict()
    older = {k: v for k, v in source.items() if not k.endswith("num_batches_tracked")}
    net = build()
    head = net.pose.linear.weight.clone()
    load_backbone(net.backbone, older)
    assert torch.equal(net.backbone.layer2[0].conv1.weight, source["layer2.0.conv1.weight"])
    assert torch.equal(net.pose.linear.weight, head)


def test_load_backbone_takes_the_backbone_of_our_own_weights():
    source, net = build(seed=1), build(seed=2, head="regression")
    load_backbone(net.backbone, source.weights())
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)


def test_load_backbone_of_another_architecture_is_an_error_of_one_line():
    weights = torchvision.models.resnet34(weights=None).state_dict()
    with pytest.raises(ValueError, match=r"unexpected layer1\.2\.bn1\.bias, .* more") as error:
        load_backbone(build().backbone, weights)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "vgg16"}, "backbone must be one of .*'vgg16'"),
        ({"head": "quaternion"}, "head must be one of .*'quaternion'"),
        ({"bin_width": 2}, "bin_width must be 1 or 3, got 2"),
        ({"decode": "right"}, "decode must be 'left' or 'centre', got 'right'"),
        ({"pretext": "jigsaw"}, "pretext must be one of .*'jigsaw'"),
        ({"branch_point": 5}, r"branch_point must be one of \(1, 2, 3, 4\), got 5"),
    ],
)
def test_a_wrong_setting_is_named_with_the_ones_that_exist(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.parametrize("bin_width", [1, 3])
def test_bins_are_those_of_digitize_and_99_is_in_the_last(bin_width):
    rng = np.random.default_rng(0)
    pose = np.concatenate([rng.uniform(-99, 99, 300), np.arange(-99, 99)]).astype(np.float32)
    expected = np.digitize(pose, np.arange(-99, 100, bin_width)) - 1
    index = bin_index(torch.from_numpy(pose), bin_width)
    assert index.dtype == torch.int64
    assert np.array_equal(index.numpy(), expected)
    assert bin_index(torch.tensor([99.0]), bin_width).item() == bin_count(bin_width) - 1


def test_angles_outside_the_bins_are_not_taken_for_neighbours():
    count = bin_count(3)
    outside = bin_index(torch.tensor([-99.01, 99.01, 700.0, float("nan")]), 3)
    assert ((outside < 0) | (outside >= count)).all()


@pytest.mark.parametrize(("decode", "offset"), [("left", 0.0), ("centre", 1.5)])
def test_a_certain_bin_decodes_to_its_edge_or_centre(decode, offset):
    head = HopenetHead(4, bin_width=3, decode=decode, dropout=0.0)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.fill_(-100.0)
        head.linear.bias.view(3, 66)[[0, 1, 2], [0, 33, 65]] = 100.0
    pose = head(torch.randn(1, 4)).pose
    assert pose.tolist() == [[-99.0 + offset, offset, 96.0 + offset]]


def test_a_fresh_regression_head_has_no_bias():
    assert torch.equal(RegressionHead(8, dropout=0.0).linear.bias, torch.zeros(3))


@pytest.mark.parametrize("head", ["hopenet", "regression", "sixd"])
def test_angles_stay_float32_under_autocast(head):
    net = build(head=head, dropout=0.0)
    features = torch.rand(4, 512)
    with torch.no_grad():
        net.pose.linear.weight.mul_(40.0)
        expected = net.pose(features).pose
        with torch.autocast("cpu", dtype=torch.bfloat16):
            pose, logits = net.pose(features)[:2]
            outputs = net(random_images(2))
    assert pose.dtype == torch.float32
    assert torch.equal(pose, expected)
    assert logits is None or logits.dtype == torch.float32
    assert outputs.pose.dtype == torch.float32
    assert outputs.puzzle.dtype == torch.bfloat16


def test_channels_last_goes_through_the_whole_network():
    net = build().to(memory_format=torch.channels_last)
    shapes = []
    net.branches["puzzle"].block.register_forward_hook(
        lambda _module, _inputs, output: shapes.append(
            output.is_contiguous(memory_format=torch.channels_last)
        )
    )
    net(random_images(2))
    assert shapes == [True]


def test_the_plain_network_can_be_exported_with_any_batch_size():
    plain = build().eval().pose_network()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(plain, (random_images(2),), dynamic_shapes=({0: batch},))
    images = random_images(3, seed=5)
    torch.testing.assert_close(program.module()(images), plain(images), rtol=1e-5, atol=1e-4)
