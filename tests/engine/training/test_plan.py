"""What a network starts from: its base's weights, but for those that belong to other classes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom.engine.errors import InputError
from panloom.engine.training.plan import ModelPlan, NetworkChoice, choose_network
from panloom.models.bundle import ModelBundle, load_bundle
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.file import find_model
from panloom.models.networks import NETWORKS


@pytest.fixture(scope="module")
def base() -> ModelBundle:
    return load_bundle(find_model("landsat-5class"))


def plan_from(base: ModelBundle, classes: ClassScheme) -> ModelPlan:
    card = base.card
    choice = choose_network(None, None, False, base)
    return ModelPlan(
        choice, card.bands, card.ratio, card.gsd_range_m, card.radiometry, classes, base
    )


def differing(plan: ModelPlan, base: ModelBundle) -> set[str]:
    own, theirs = plan.build().state_dict(), base.network.state_dict()
    assert set(own) == set(theirs)
    return {n for n, t in own.items() if not torch.equal(t, theirs[n])}


def test_the_same_classes_keep_every_weight(base: ModelBundle) -> None:
    plan = plan_from(base, base.card.classes)
    assert plan.keeps_classes
    assert differing(plan, base) == set()


@pytest.mark.parametrize("count", [2, 5, 9])
def test_other_classes_change_the_last_layer_only(base: ModelBundle, count: int) -> None:
    classes = ClassScheme(
        tuple(LandClass(k, f"Crop {k}", f"#0000{k:02x}") for k in range(1, count + 1))
    )
    plan = plan_from(base, classes)
    assert not plan.keeps_classes
    assert differing(plan, base) == {"decoder.classify.weight", "decoder.classify.bias"}
    assert plan.build().classes == count


def test_the_seed_decides_about_the_new_weights(base: ModelBundle) -> None:
    other = replace(base.card.classes.classes[0], name="Lake")
    plan = plan_from(base, ClassScheme((other, *base.card.classes.classes[1:])))
    heads = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        heads.append(plan.build().state_dict()["decoder.classify.weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_base_of_another_network_is_never_mixed_in(base: ModelBundle) -> None:
    wide = NetworkChoice("adcdnet", {"width": 48}, {})
    with pytest.raises((ValueError, RuntimeError)):
        replace(plan_from(base, base.card.classes), choice=wide).build()


def test_a_new_network_is_the_one_that_is_named() -> None:
    assert choose_network(None, None, False, None) == NetworkChoice("adcdnet", {}, {})
    assert choose_network("adcdnet", "msaf", False, None).arguments == {"fusion": "msaf"}
    for name in NETWORKS:
        assert choose_network(name, None, False, None) == NetworkChoice(name, {}, {})


def test_a_fusion_is_for_networks_that_have_a_choice() -> None:
    having = [name for name in NETWORKS if name.startswith("adcdnet")]
    for name in set(NETWORKS) - set(having):
        with pytest.raises(InputError) as caught:
            choose_network(name, "sum", False, None)
        assert str(caught.value) == (
            f"Network `{name}` has a fusion of its own; `--fusion sum` is for "
            f"{', '.join(having)}. Leave `--fusion` out, or choose `--network adcdnet`."
        )
