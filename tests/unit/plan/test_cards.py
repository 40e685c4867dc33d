"""Cards by all the names that people give them."""

from __future__ import annotations

import pytest

from minirl.errors import ConfigError, UnknownNameError
from minirl.plan import CARDS, any_card, card_target, cpu_target, find_card, seen_card

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("RTX 3060", "RTX 3060"),
        ("rtx 3060", "RTX 3060"),
        ("rtx3060", "RTX 3060"),
        ("3060", "RTX 3060"),
        ("3060 12gb", "RTX 3060"),
        ("RTX 3060 12 GB", "RTX 3060"),
        ("3060 8 GB", "RTX 3060 8GB"),
        ("NVIDIA GeForce RTX 3060", "RTX 3060"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti Super"),
        ("4070ti", "RTX 4070 Ti"),
        ("4060 Ti 16GB", "RTX 4060 Ti 16GB"),
        ("Tesla T4", "T4"),
        ("t4", "T4"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("a100 40gb", "A100 40GB"),
        ("A100-80", None),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("h100", "H100"),
        ("NVIDIA L4", "L4"),
    ],
)
def test_names(name, card):
    if card is None:
        with pytest.raises(UnknownNameError):
            find_card(name)
    else:
        assert find_card(name).name == card


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_card_is_found_by_its_own_name_and_is_plausible(card):
    assert find_card(card.name) is card
    assert find_card(f"NVIDIA {card.name.upper()}") is card
    assert 4 * GIB < card.memory < 256 * GIB
    assert 1e11 < card.bandwidth < 1e13
    assert 5e12 < card.flops < 3e15
    assert card.bf16 == (card.capability >= (8, 0))


def test_an_unknown_card_gets_one_message_with_a_way_out():
    with pytest.raises(UnknownNameError) as error:
        find_card("RTX 3061")
    text = str(error.value)
    assert "no card is called 'RTX 3061'" in text
    assert "RTX 3060" in text
    assert "--vram" in text


def test_vram_overrides_the_cards():
    card = find_card("RTX 3060")
    assert card_target(card, vram=8).memory == 8 * GIB
    assert card_target(card, vram=8).capability == (8, 6)
    assert any_card(6).memory == 6 * GIB
    with pytest.raises(ConfigError, match="such as --vram 12"):
        any_card(0)


def test_a_card_that_the_driver_reports_gets_its_speed_from_the_table():
    class Reported:
        name = "NVIDIA GeForce RTX 3060"
        memory = 12 * GIB
        capability = (8, 6)

    assert seen_card(Reported()).bandwidth == find_card("3060").bandwidth
    Reported.name = "NVIDIA Unheard Of"
    assert seen_card(Reported()).bandwidth == 0


def test_a_cpu_has_this_machines_memory():
    target = cpu_target(cores=2)
    assert target.device == "cpu"
    assert 2**28 < target.memory < 2**45
    assert target.usable < target.memory
