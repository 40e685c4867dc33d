"""A played driver library: what CUDA would say about cards that are not here."""

from __future__ import annotations

import uuid
from typing import Any

IDS = [uuid.UUID(int=n) for n in (7, 8)]
MIB = 2**20


class Driver:
    """libcuda, as far as it is asked."""

    def __init__(self, *cards: tuple[str, int, tuple[int, int]], broken: bool = False) -> None:
        self.cards = cards
        self.broken = broken

    def cuInit(self, flags: int) -> int:
        return 999 if self.broken else 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:
        name.value = self.cards[device.value][0].encode()[: length - 1]
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, device: Any) -> int:
        size._obj.value = self.cards[device.value][1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = self.cards[device.value][2][{75: 0, 76: 1}[attribute]]
        return 0

    def cuDeviceGetUuid(self, ident: Any, device: Any) -> int:
        ident.raw = IDS[device.value].bytes
        return 0


T4 = ("Tesla T4", 15_800 * MIB, (7, 5))
L4 = ("NVIDIA L4", 23_034 * MIB, (8, 9))
