"""Steps that need an algorithm; each reference is written to run anywhere as it stands."""

from __future__ import annotations

from collections.abc import Mapping

from minirl.envs.code.step import Op, call


def run_lengths(text: str) -> str:
    code = ""
    i = 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == text[i]:
            j += 1
        code += text[i] + str(j - i)
        i = j
    return code


def merge_intervals(intervals: list[list[int]], gap: int) -> list[list[int]]:
    merged: list[list[int]] = []
    for low, high in sorted(intervals):
        if merged and low - merged[-1][1] <= gap:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return merged


def covered(intervals: list[list[int]]) -> int:
    total = 0
    reached = None
    for low, high in sorted(intervals):
        start = low if reached is None else max(low, reached + 1)
        if high >= start:
            total += high - start + 1
            reached = high
    return total


def most_at_once(intervals: list[list[int]]) -> int:
    most = 0
    for low, _ in intervals:
        most = max(most, sum(1 for a, b in intervals if a <= low <= b))
    return most


def group_anagrams(words: list[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault("".join(sorted(word)), []).append(word)
    return list(groups.values())


def shift_letters(text: str, places: int) -> str:
    shifted = ""
    for c in text:
        shifted += chr((ord(c) - 97 + places) % 26 + 97) if "a" <= c <= "z" else c
    return shifted


def pairs_apart(numbers: list[int], distance: int) -> int:
    count = 0
    for i in range(len(numbers)):
        for j in range(i):
            if abs(numbers[i] - numbers[j]) == distance:
                count += 1
    return count


def longest_plateau(numbers: list[int]) -> int:
    best = length = 0
    for i, number in enumerate(numbers):
        length = length + 1 if i > 0 and number == numbers[i - 1] else 1
        best = max(best, length)
    return best


def best_window(numbers: list[int], width: int) -> int:
    sums = [sum(numbers[i : i + width]) for i in range(len(numbers) - width + 1)]
    return max(sums, default=0)


def inversions(numbers: list[int]) -> int:
    return sum(1 for i in range(len(numbers)) for j in range(i) if numbers[j] > numbers[i])


def next_greater(numbers: list[int], default: int) -> list[int]:
    found = []
    for i, number in enumerate(numbers):
        later = [x for x in numbers[i + 1 :] if x > number]
        found.append(later[0] if later else default)
    return found


def prime_factors(number: int) -> list[int]:
    factors = []
    divisor = 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors


def primes_up_to(limit: int) -> list[int]:
    return [n for n in range(2, limit + 1) if all(n % d != 0 for d in range(2, n))]


def digits_in_base(number: int, base: int) -> list[int]:
    digits: list[int] = []
    while number > 0:
        digits.insert(0, number % base)
        number //= base
    return digits


def roman(number: int) -> str:
    values = [100, 90, 50, 40, 10, 9, 5, 4, 1]
    letters = ["C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"]
    numeral = ""
    for value, letter in zip(values, letters):  # noqa: B905
        while number >= value:
            numeral += letter
            number -= value
    return numeral


def collatz(number: int) -> list[int]:
    visited = [number]
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        visited.append(number)
    return visited


def balanced_prefix(text: str) -> int:
    closes = {")": "(", "]": "[", "}": "{"}
    opened: list[str] = []
    longest = 0
    for i, c in enumerate(text):
        if c not in closes:
            opened.append(c)
        elif opened and opened[-1] == closes[c]:
            opened.pop()
        else:
            break
        if not opened:
            longest = i + 1
    return longest


def deepest(text: str) -> int:
    depth = most = 0
    for c in text:
        depth += 1 if c in "([{" else -1
        most = max(most, depth)
    return most


def spiral(grid: list[list[int]]) -> list[int]:
    path = []
    rows = [list(row) for row in grid]
    while rows:
        path += rows.pop(0)
        turned = []
        for column in range(len(rows[0]) if rows else 0):
            turned.append([row[column] for row in rows])
        rows = turned[::-1]
    return path


def column_sums(grid: list[list[int]]) -> list[int]:
    return [sum(row[i] for row in grid) for i in range(len(grid[0]))]


def diagonal_sums(grid: list[list[int]]) -> list[int]:
    height = len(grid)
    width = len(grid[0])
    sums = [0] * (height + width - 1)
    for i in range(height):
        for j in range(width):
            sums[i + j] += grid[i][j]
    return sums


ALGORITHM: Mapping[str, Op] = {
    "run_lengths": call(
        "str",
        "str",
        "replace each run of equal characters by the character and the length of the run "
        "('aab' becomes 'a2b1')",
        run_lengths,
    ),
    "merge": call(
        "pairs",
        "pairs",
        "merge the intervals [low, high] that overlap or lie at most {0} apart (the next low minus "
        "the high before it), in ascending order",
        merge_intervals,
        range(5),
    ),
    "covered": call(
        "pairs",
        "int",
        "count the different integers that lie in at least one interval (both ends included)",
        covered,
    ),
    "most_at_once": call(
        "pairs",
        "int",
        "find the largest number of intervals (both ends included) that share a common integer "
        "(0 if there is no interval)",
        most_at_once,
    ),
    "anagrams": call(
        "strs",
        "other",
        "group the words that are anagrams of each other into lists: the groups in the order of "
        "their first words, the words of a group in the order given",
        group_anagrams,
    ),
    "shift_letters": call(
        "str",
        "str",
        "shift each letter {0} places forward in the alphabet, from z on to a, and leave other "
        "characters as they are",
        shift_letters,
        range(1, 25),
    ),
    "pairs_apart": call(
        "ints",
        "int",
        "count the pairs of positions whose numbers are exactly {0} apart",
        pairs_apart,
        range(8),
    ),
    "plateau": call(
        "ints",
        "int",
        "find the length of the longest run of equal neighbours (0 if the list is empty)",
        longest_plateau,
    ),
    "window": call(
        "ints",
        "int",
        "find the largest sum of {0} consecutive numbers (0 if there are fewer)",
        best_window,
        range(2, 5),
    ),
    "inversions": call(
        "ints",
        "int",
        "count the pairs of positions where the earlier number is greater than the later one",
        inversions,
    ),
    "next_greater": call(
        "ints",
        "ints",
        "replace each number by the first greater number after it ({0} if there is none)",
        next_greater,
        range(-3, 4),
    ),
    "prime_factors": call(
        "natural",
        "ints",
        "list its prime factors in ascending order, each as often as it divides the number",
        prime_factors,
    ),
    "primes": call(
        "natural", "ints", "list the primes up to and including it, ascending", primes_up_to
    ),
    "base": call(
        "natural",
        "ints",
        "list its digits in base {0}, the highest first",
        digits_in_base,
        range(2, 10),
    ),
    "roman": call("natural", "str", "write it as a Roman numeral (4 is IV)", roman),
    "collatz": call(
        "natural",
        "ints",
        "list the numbers visited from it to 1, both included, when an even number is halved and "
        "an odd one is tripled and increased by 1",
        collatz,
    ),
    "balanced": call(
        "brackets",
        "int",
        "find the length of its longest beginning in which all brackets are properly nested and "
        "closed (0 if there is none)",
        balanced_prefix,
    ),
    "deepest": call(
        "brackets",
        "int",
        "reading from the left, an opening bracket adds 1 to the depth and a closing one takes 1 "
        "away, whatever their shapes; starting from 0, find the greatest depth reached",
        deepest,
        near=("balanced",),
    ),
    "spiral": call(
        "grid",
        "ints",
        "list its cells in clockwise spiral order from the top left corner inwards",
        spiral,
    ),
    "columns": call("grid", "ints", "list the sums of its columns from left to right", column_sums),
    "diagonals": call(
        "grid",
        "ints",
        "list the sums of its cells whose row and column number have the same sum, from the top "
        "left corner on",
        diagonal_sums,
    ),
}
