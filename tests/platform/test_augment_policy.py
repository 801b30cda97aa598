"""Policies and view plans as values, as functions of images and draws, and as pictures."""

import pytest
import torch
from torch import Tensor

from unlabeled.platform.augment import (
    MOCO_V1,
    MOCO_V1_BLUR,
    MOCO_V1_SMALL,
    MOCO_V2,
    MOCO_V2_SMALL,
    PLAIN,
    POLICIES,
    SIMCLR,
    SIMCLR_SMALL,
    ColorDrop,
    ColorJitter,
    Crop,
    Flip,
    GaussianBlur,
    Moment,
    Op,
    Policy,
    Solarize,
    View,
    ViewPlan,
    draw_views,
    simclr,
    two_views,
)
from unlabeled.platform.augment.picture import as_pictures
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

EVERY_OP = Policy(ops=tuple(kind() for kind in Op.family.values()))


def bytes_images(count: int = 48, channels: int = 3, side: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)


def draws(count: int = 48, *scope: int | str) -> Draws:
    return Draws(torch.arange(count), 0, *scope)


@pytest.mark.parametrize("policy", [EVERY_OP, *POLICIES.values()])
def test_a_policy_survives_json_with_its_kinds(policy):
    again = Policy.model_validate_json(policy.canonical_json())
    assert again == policy
    assert [type(op) for op in again.ops] == [type(op) for op in policy.ops]
    plan = ViewPlan(views=(policy, PLAIN))
    assert ViewPlan.model_validate_json(plan.canonical_json()) == plan


def test_policies_differ_but_for_two_pairs():
    """MoCo v1 has no small form of its own; MoCo's CIFAR-10 demo and SimCLR's appendix B.9 come to the same."""
    assert MOCO_V2_SMALL == SIMCLR_SMALL
    assert len({policy.digest() for policy in POLICIES.values()}) == len(POLICIES) - 2
    assert len({policy.summary for policy in POLICIES.values()}) == len(POLICIES) - 2


def test_the_blur_is_all_that_it_adds_to_version_1():
    assert MOCO_V1_BLUR.without(GaussianBlur) == MOCO_V1 == MOCO_V1_SMALL
    added, published = ([op for op in policy.ops if isinstance(op, GaussianBlur)] for policy in (MOCO_V1_BLUR, MOCO_V2))
    assert added == published
    images = bytes_images(64).float() / 255
    blurred, plain = (policy(images, draws(64)) for policy in (MOCO_V1_BLUR, MOCO_V1))
    assert 0.3 < (blurred != plain).flatten(1).any(dim=1).float().mean() < 0.7  # half of them, at 16 px too


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", POLICIES)
def test_published_policies_run_at_their_size(name, channels):
    views = two_views(POLICIES[name])({"image": bytes_images(4, channels)}, draws(4))
    side = 16
    assert [view.shape for view in views] == [(4, channels, side, side)] * 2
    assert all(float(view.min()) >= 0 and float(view.max()) <= 1 + 1e-6 for view in views)


def test_summary_is_short_and_complete():
    assert MOCO_V2.summary == (
        "Crop(0.2-1) > ColorJitter(0.4/0.4/0.4/0.1, p=0.8) > ColorDrop(p=0.2) > GaussianBlur(0.1-2, p=0.5)"
        " > Flip(p=0.5)"
    )
    assert PLAIN.summary == "identity"
    assert two_views(Policy(ops=(Flip(),))).summary == "2 x [Flip(p=0.5)]"
    crop = Policy(ops=(Crop(),))
    assert ViewPlan(views=(crop, PLAIN)).summary == "[Crop(0.08-1)] | [identity]"
    assert ViewPlan(views=(crop, crop, PLAIN, crop)).summary == "2 x [Crop(0.08-1)] | [identity] | [Crop(0.08-1)]"
    assert ViewPlan(views=(crop,)).summary == "1 x [Crop(0.08-1)]"


def test_without_plus_and_replacing():
    assert [type(op) for op in SIMCLR.without(GaussianBlur, ColorDrop).ops] == [Crop, Flip, ColorJitter]
    assert simclr(0.5).without(GaussianBlur).replacing(Crop()) == SIMCLR_SMALL
    assert Policy(ops=(Flip(), Crop(), Flip())).without(Flip) == Policy(ops=(Crop(),))
    assert PLAIN.plus(Flip(), Crop()) == Policy(ops=(Flip(), Crop()))
    assert SIMCLR_SMALL.replacing(Flip(p=0.1)).ops[1] == Flip(p=0.1)


def test_removing_or_replacing_what_is_not_there_is_an_error():
    with pytest.raises(
        UserError, match=r"no operation of the policy 'Crop.*' is called 'GaussianBlur'; .*[Tt]here are: ColorD"
    ):
        SIMCLR_SMALL.without(GaussianBlur)
    with pytest.raises(UserError, match="is called 'Solarize'"):
        SIMCLR_SMALL.without(Flip, Solarize)
    with pytest.raises(UserError, match="is called 'Flip'; there are: none"):
        PLAIN.replacing(Flip())


@pytest.mark.parametrize("strength", [-0.5, 3.0])
def test_a_strength_without_meaning_is_an_error(strength):
    with pytest.raises(UserError, match=r"the strength of a colour jitter is from 0 to 2.5, got"):
        simclr(strength)


def test_a_plan_needs_a_view():
    with pytest.raises(ValueError, match="at least 1"):
        ViewPlan(views=())


def test_a_policy_stands_for_the_view_of_the_picture_by_it():
    short, long = ViewPlan(views=(SIMCLR, PLAIN)), ViewPlan(views=(View(policy=SIMCLR), View()))
    assert short == long
    assert short.views[0] == View(policy=SIMCLR, field="image")
    assert short.fields == ("image",)
    assert short.identity() == {"views": [SIMCLR.identity(), {}]}
    assert short.canonical_json() == f'{{"streams":{{}},"targets":[],"views":[{SIMCLR.canonical_json()},{{"ops":[]}}]}}'
    assert ViewPlan.model_validate_json(short.canonical_json()) == short


def test_a_view_says_of_which_field_it_is():
    plan = ViewPlan(views=(PLAIN, View(policy=Policy(ops=(Flip(p=1.0),)), field="depth")), targets=("class",))
    assert plan.fields == ("image", "depth")
    assert plan.summary == "[identity] | [depth: Flip] with class"
    assert ViewPlan.model_validate_json(plan.canonical_json()) == plan
    assert plan.identity()["views"][1] == {"policy": plan.views[1].policy.identity(), "field": "depth"}
    assert plan.digest() != ViewPlan(views=(PLAIN, plan.views[1].policy), targets=("class",)).digest()
    assert plan.digest() != ViewPlan(views=plan.views).digest()
    images, depths = bytes_images(4).float() / 255, bytes_images(4, channels=1, side=8).float() / 255
    one, other = plan({"image": images, "depth": depths}, draws(4))
    assert torch.equal(one, images)
    assert torch.equal(other, depths.flip(3))
    page = draw_views({"image": images, "depth": depths}, plan, columns=2)
    assert page.width == 4 * (112 + 6) + 6, "both originals, and a view of each"


@pytest.mark.parametrize("wrong", [{"polcy": PLAIN}, {"ops": (), "field": "depth"}, "simclr"])
def test_what_is_no_view_is_refused(wrong):
    with pytest.raises(ValueError, match=r"polcy|field|View"):
        ViewPlan(views=(wrong,))


@pytest.mark.parametrize("channels", [1, 3])
def test_views_do_not_depend_on_how_the_batch_is_split(channels):
    plan = ViewPlan(views=(EVERY_OP, MOCO_V2_SMALL, EVERY_OP))
    images, rows = bytes_images(channels=channels), torch.arange(48)
    together = plan({"image": images}, Draws(rows, 3))
    for part in (rows[:1], rows[5:29], rows.flip(0)):
        for alone, whole in zip(plan({"image": images[part]}, Draws(part, 3)), together, strict=True):
            torch.testing.assert_close(alone, whole[part], atol=2e-5, rtol=0)


def test_views_are_reproducible_and_apart():
    images = bytes_images()
    first, second = two_views(SIMCLR_SMALL)({"image": images}, draws())
    again, _ = two_views(SIMCLR_SMALL)({"image": images}, draws())
    next_step, _ = two_views(SIMCLR_SMALL)({"image": images}, draws(48, "step", 1))
    assert torch.equal(first, again)
    for other in (second, next_step):
        assert int((first == other).flatten(1).all(dim=1).sum()) == 0


def test_a_view_does_not_depend_on_the_other_views():
    images = bytes_images()
    alone = ViewPlan(views=(SIMCLR_SMALL,))({"image": images}, draws())[0]
    beside = ViewPlan(views=(SIMCLR_SMALL, MOCO_V2_SMALL))({"image": images}, draws())[0]
    assert torch.equal(alone, beside)


def test_bytes_and_fractions_give_the_same_views_and_stay_unchanged():
    images = bytes_images()
    fractions = images.float() / 255
    before = images.clone(), fractions.clone()
    from_bytes, from_fractions = (two_views(EVERY_OP)({"image": given}, draws()) for given in (images, fractions))
    assert all(torch.equal(one, other) for one, other in zip(from_bytes, from_fractions, strict=True))
    assert torch.equal(images, before[0])
    assert torch.equal(fractions, before[1])


def test_an_operation_draws_the_same_whatever_else_is_in_the_policy():
    images = bytes_images().float() / 255
    with_drop, without_drop = Policy(ops=(ColorDrop(p=1.0), Crop(), Flip())), Policy(ops=(Crop(), Flip()))
    grey_first = with_drop(images, draws())
    grey_last = ColorDrop(p=1.0)(without_drop(images, draws()), draws())
    torch.testing.assert_close(grey_first, grey_last, atol=1e-5, rtol=0)


def test_two_operations_of_one_kind_draw_apart():
    images = bytes_images().float() / 255
    assert not torch.equal(Policy(ops=(Flip(), Flip()))(images, draws()), images)


def test_autocast_does_not_reach_the_views():
    images = bytes_images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = two_views(SIMCLR_SMALL)({"image": images}, draws())
    assert torch.equal(inside[0], two_views(SIMCLR_SMALL)({"image": images}, draws())[0])


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (torch.zeros(2, 4, 8, 8), r"float32 \[2, 4, 8, 8\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"uint8 \[3, 8, 8\]"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.float64), r"float64 \[2, 3, 8, 8\]"),
    ],
)
def test_other_images_are_refused_with_their_shape(images, got):
    with pytest.raises(UserError, match=r"images to augment are uint8 or float32 \[B, C, H, W\].*got " + got):
        two_views(PLAIN)({"image": images}, draws(2))


@pytest.mark.parametrize("channels", [1, 3])
def test_picture_shows_originals_and_versions(channels):
    images = bytes_images(3, channels)
    page = draw_views({"image": images}, ViewPlan(views=(PLAIN, Policy(ops=(Flip(p=1.0),)))), columns=4, seed=1)
    assert page.mode == "RGB"
    pixels = torch.tensor(list(page.get_flattened_data()), dtype=torch.uint8).view(page.height, page.width, 3)
    tile, gap = 112, 6
    header = page.height - 3 * (tile + gap) - gap
    assert page.width == 5 * (tile + gap) + gap
    for row, image in enumerate(images):
        large = image.expand(3, -1, -1).repeat_interleave(7, dim=1).repeat_interleave(7, dim=2).permute(1, 2, 0)
        top = header + gap + row * (tile + gap)
        for column in range(5):
            left = gap + column * (tile + gap)
            shown = pixels[top : top + tile, left : left + tile]
            assert torch.equal(shown, large.flip(1) if column in (2, 4) else large)
    assert int(pixels[:header].min()) < 100  # something is written


def test_picture_takes_views_of_another_size():
    page = draw_views({"image": bytes_images(2)}, two_views(SIMCLR), columns=1)
    assert page.width == 2 * (112 + 6) + 6


def test_picture_shows_frames_of_clips_and_spectrograms_of_sounds():
    clips = torch.randint(0, 256, (2, 7, 3, 10, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frames = as_pictures(clips)
    assert torch.equal(
        frames, torch.cat((torch.cat((clips[:, 0], clips[:, 2]), 3), torch.cat((clips[:, 4], clips[:, 6]), 3)), 2)
    )
    assert [tuple(as_pictures(clips[:, :count]).shape[2:]) for count in (1, 2, 3)] == [(10, 12), (10, 24), (20, 24)]
    sound = (torch.linspace(0.0, 1.0, 2000).square() * 400.0).mul(2.0 * torch.pi).sin()[None, None]
    loudest = as_pictures(sound)[0, 0].argmax(dim=0)[5:-5]
    assert (loudest.diff() <= 0).all(), "it rises"
    assert loudest[0] - loudest[-1] > 50
    plan = ViewPlan(
        views=(View(field="clip", time=Moment(length=3)), View(field="sound", time=Moment(length=900, like=0)))
    )
    page = draw_views(
        {"clip": clips, "sound": sound.expand(2, 1, 2000)}, plan, columns=2, rates={"clip": 7.0, "sound": 2000.0}
    )
    assert page.width == 4 * (112 + 6) + 6
