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
from panloom.models.networks import NETWORKS, build_network


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
        heads = {"branch_heads": True} if name == "danet" else {}
        assert choose_network(name, None, False, None) == NetworkChoice(name, {}, heads)


def test_heads_are_trained_always_or_with_stage_one_as_the_network_says() -> None:
    """The depth heads read stage I's prior and cost much, DANet's are its paper's and cheap."""
    assert choose_network("danet", None, True, None).training_arguments == {"branch_heads": True}
    with_prior = choose_network("adcdnet", None, True, None)
    assert with_prior == NetworkChoice("adcdnet", {"prior": True}, {"depth_heads": True})
    for name in set(NETWORKS) - {"danet", "adcdnet"}:
        assert choose_network(name, None, True, None).training_arguments == {}


@pytest.mark.parametrize("anew", [False, True])
def test_heads_start_anew_from_a_base_that_was_finished(base: ModelBundle, anew: bool) -> None:
    """A saved model has no heads, and what it does have is taken over."""
    sizes = {"bands": 6, "ratio": 2, "classes": 5}
    danet = replace(base, card=replace(base.card, network="danet", arguments={}))
    danet = replace(danet, network=build_network("danet", {}, **sizes))
    names = [f"New {k}" if anew else c.name for k, c in enumerate(base.card.classes.classes)]
    classes = zip(base.card.classes.classes, names, strict=True)
    plan = plan_from(danet, ClassScheme(tuple(replace(c, name=name) for c, name in classes)))
    network = plan.build()
    own, theirs = network.state_dict(), danet.network.state_dict()
    heads = {n for n in own if n.startswith("branch_heads.")}
    last = {"decoder.classify.weight", "decoder.classify.bias"} if anew else set()
    assert set(own) == set(theirs) | heads
    assert len(heads) == 4
    assert {n for n in theirs if not torch.equal(own[n], theirs[n])} == last
    assert plan.fresh() == heads | last
    network.finish()
    assert set(network.state_dict()) == set(theirs)


def test_a_fusion_is_for_networks_that_have_a_choice() -> None:
    having = [name for name in NETWORKS if name.startswith("adcdnet")]
    for name in set(NETWORKS) - set(having):
        with pytest.raises(InputError) as caught:
            choose_network(name, "sum", False, None)
        assert str(caught.value) == (
            f"Network `{name}` has a fusion of its own; `--fusion sum` is for "
            f"{', '.join(having)}. Leave `--fusion` out, or choose `--network adcdnet`."
        )
