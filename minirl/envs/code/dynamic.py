"""Steps that are solved by dynamic programming; each reference runs anywhere as it stands."""

from __future__ import annotations

from collections.abc import Mapping

from minirl.envs.code.step import Op, call


def longest_rise(numbers: list[int], step: int) -> int:
    best: list[int] = []
    for i, number in enumerate(numbers):
        before = [best[j] for j in range(i) if number - numbers[j] >= step]
        best.append(1 + max(before, default=0))
    return max(best, default=0)


def apart_sum(numbers: list[int], gap: int) -> int:
    best = [0] * (len(numbers) + 1)
    for i, number in enumerate(numbers):
        best[i + 1] = max(best[i], number + best[max(0, i - gap)])
    return best[-1]


def best_stretch(numbers: list[int]) -> int:
    best = current = 0
    for number in numbers:
        current = max(0, current + number)
        best = max(best, current)
    return best


def balance(numbers: list[int]) -> int:
    reachable = {0}
    for number in numbers:
        reachable = {r + number for r in reachable} | {r - number for r in reachable}
    return min(abs(r) for r in reachable)


def best_trades(prices: list[int], fee: int) -> int:
    cash = 0
    held: int | None = None
    for price in prices:
        earlier = cash
        if held is not None:
            cash = max(cash, held + price - fee)
        held = earlier - price if held is None else max(held, earlier - price)
    return cash


def fewest_coins(amount: int, small: int, large: int) -> int:
    fewest = [0]
    for total in range(1, amount + 1):
        coins = [c for c in (1, small, large) if c <= total]
        fewest.append(1 + min(fewest[total - c] for c in coins))
    return fewest[amount]


def ways_to_pay(amount: int, small: int, large: int) -> int:
    ways = [1] + [0] * amount
    for coin in (1, small, large):
        for total in range(coin, amount + 1):
            ways[total] += ways[total - coin]
    return ways[amount]


def ways_to_climb(steps: int, stride: int) -> int:
    ways = [1]
    for step in range(1, steps + 1):
        ways.append(sum(ways[max(0, step - stride) : step]) % 1000007)
    return ways[steps]


def edit_cost(a: str, b: str, swap: int) -> int:
    row = list(range(len(b) + 1))
    for i in range(len(a)):
        above = row
        row = [i + 1]
        for j in range(len(b)):
            change = above[j] + (0 if a[i] == b[j] else swap)
            row.append(min(change, above[j + 1] + 1, row[j] + 1))
    return row[-1]


def common_length(a: str, b: str) -> int:
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        for j in range(len(b)):
            if a[i] == b[j]:
                best[i + 1][j + 1] = best[i][j] + 1
            else:
                best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j])
    return best[-1][-1]


def common_piece(a: str, b: str) -> int:
    best = 0
    for i in range(len(a)):
        for j in range(len(b)):
            length = 0
            while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
                length += 1
            best = max(best, length)
    return best


def longest_palindrome(text: str) -> int:
    best = [[0] * (len(text) + 1) for _ in range(len(text) + 2)]
    for i in range(len(text) - 1, -1, -1):
        for j in range(i, len(text)):
            if text[i] == text[j]:
                best[i][j] = 1 if i == j else best[i + 1][j - 1] + 2
            else:
                best[i][j] = max(best[i + 1][j], best[i][j - 1])
    return best[0][len(text) - 1] if text else 0


def fill_bag(items: list[list[int]], capacity: int) -> int:
    best = [0] * (capacity + 1)
    for weight, value in items:
        for room in range(capacity, weight - 1, -1):
            best[room] = max(best[room], best[room - weight] + value)
    return best[capacity]


def most_meetings(intervals: list[list[int]], pause: int) -> int:
    count = 0
    free = None
    for low, high in sorted(intervals, key=lambda pair: (pair[1], pair[0])):
        if free is None or low >= free:
            count += 1
            free = high + pause
    return count


def cheapest_path(grid: list[list[int]]) -> int:
    best: list[int] = []
    for i, row in enumerate(grid):
        for j, cell in enumerate(row):
            if i == 0:
                entry = best[j - 1] if j > 0 else 0
                best.append(entry + cell)
            else:
                entry = best[j] if j == 0 else min(best[j], best[j - 1])
                best[j] = entry + cell
    return best[-1]


def open_paths(grid: list[list[int]], wall: int) -> int:
    ways = [0] * len(grid[0])
    for i, row in enumerate(grid):
        for j, cell in enumerate(row):
            if i == 0 and j == 0:
                ways[j] = 1
            elif j > 0:
                ways[j] += ways[j - 1]
            if cell > wall:
                ways[j] = 0
    return ways[-1]


def largest_square(grid: list[list[int]], least: int) -> int:
    side = [[0] * (len(grid[0]) + 1) for _ in range(len(grid) + 1)]
    best = 0
    for i, row in enumerate(grid):
        for j, cell in enumerate(row):
            if cell >= least:
                side[i + 1][j + 1] = 1 + min(side[i][j], side[i][j + 1], side[i + 1][j])
                best = max(best, side[i + 1][j + 1])
    return best


COIN = (range(2, 7), range(7, 13))

DYNAMIC: Mapping[str, Op] = {
    "rise": call(
        "ints",
        "int",
        "find the length of the longest subsequence (in order, not necessarily neighbours) in "
        "which each number exceeds the one before by at least {0}",
        longest_rise,
        range(1, 6),
    ),
    "apart": call(
        "ints",
        "int",
        "find the largest sum of chosen numbers (0 if none is chosen) where there are at least {0} "
        "numbers between any two chosen ones",
        apart_sum,
        range(1, 4),
    ),
    "stretch": call(
        "ints",
        "int",
        "find the largest sum of consecutive numbers (0 if none is chosen)",
        best_stretch,
    ),
    "balance": call(
        "ints",
        "int",
        "put each number into one of two heaps so that the sums of the heaps differ as little as "
        "possible, and take that difference (never negative)",
        balance,
    ),
    "trades": call(
        "ints",
        "int",
        "the numbers are the prices of a share on successive days; find the largest profit from "
        "buying one share and selling it on a later day, as often as wanted, holding at most one "
        "at a time and paying a fee of {0} for each sale (0 if no trade pays)",
        best_trades,
        range(6),
    ),
    "coins": call(
        "natural",
        "int",
        "find the smallest number of coins of values 1, {0} and {1} that add up to it",
        fewest_coins,
        *COIN,
    ),
    "payments": call(
        "natural",
        "int",
        "count the ways to pay it with coins of values 1, {0} and {1}, where the order of the "
        "coins does not matter",
        ways_to_pay,
        *COIN,
    ),
    "stairs": call(
        "natural",
        "int",
        "count the ways to climb that many stairs with strides of 1 to {0} stairs, where the "
        "order of the strides matters; give the count modulo 1000007",
        ways_to_climb,
        range(2, 7),
    ),
    "edit": call(
        "two strs",
        "int",
        "find the smallest cost of turning the first string into the second, where inserting or "
        "deleting a character costs 1 and replacing one by another costs {0}",
        edit_cost,
        range(1, 3),
    ),
    "common": call(
        "two strs",
        "int",
        "find the length of the longest common subsequence (in order, not necessarily neighbours)",
        common_length,
        near=("piece",),
    ),
    "piece": call(
        "two strs",
        "int",
        "find the length of the longest common substring (consecutive characters)",
        common_piece,
        near=("common",),
    ),
    "palindrome": call(
        "str",
        "int",
        "find the length of its longest subsequence (in order, not necessarily neighbours) that "
        "reads the same backwards",
        longest_palindrome,
    ),
    "bag": call(
        "pairs",
        "int",
        "each pair is the weight and the value of an item that can be taken at most once; find "
        "the largest total value with a total weight of at most {0}",
        fill_bag,
        range(8, 25),
    ),
    "meetings": call(
        "pairs",
        "int",
        "each pair is the start and the end of a meeting; find how many can be attended at most "
        "if each one starts at least {0} after the end of the one before",
        most_meetings,
        range(4),
    ),
    "path": call(
        "grid",
        "int",
        "find the smallest sum of the cells on a path from the top left to the bottom right cell "
        "(both included) that only moves right or down",
        cheapest_path,
    ),
    "paths": call(
        "grid",
        "int",
        "count the paths from the top left to the bottom right cell that only move right or down "
        "and never enter a cell greater than {0} (0 if the first or last cell is such a cell)",
        open_paths,
        range(4, 8),
    ),
    "square_block": call(
        "grid",
        "int",
        "find the side length of the largest square block of cells that are all at least {0} (0 "
        "if there is none)",
        largest_square,
        range(2, 6),
    ),
}
