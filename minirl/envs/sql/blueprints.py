"""The eight domains: their tables, columns and words. Data, and therefore long."""

from __future__ import annotations

from dataclasses import dataclass

from minirl.envs.sql.schema import Column

_FIRST = """Ada Ben Cora Dina Emil Femi Gita Hugo Ines Jonas Kira Liam Mina Nils Olga Pedro Rosa
    Sami Tara Umar""".split()  # noqa: SIM905
_LAST = """Abbas Berg Costa Duarte Eklund Fischer Garcia Haddad Ivanov Jensen Kovac Lopez Moreau
    Novak Okafor Petrov Rossi Silva Tanaka Weber""".split()  # noqa: SIM905
_ADJECTIVES = """Amber Brave Calm Distant Early Final Golden Hidden Iron Quiet Late Little Northern
    Open Pale Second Silver Slow Warm Wild""".split()  # noqa: SIM905
_NOUNS = """Anchor Bridge Canyon Delta Ember Forest Garden Harbor Island Lantern Meadow Orchard
    Prairie River Signal Summit Temple Valley Willow Window""".split()  # noqa: SIM905

PEOPLE = tuple(f"{first} {last}" for first in _FIRST for last in _LAST)
TITLES = tuple(f"{adjective} {noun}" for adjective in _ADJECTIVES for noun in _NOUNS)
COUNTRIES = ("Brazil", "Canada", "Denmark", "Egypt", "France", "India", "Japan")
CITIES = ("Bergen", "Cork", "Dakar", "Lima", "Osaka", "Porto", "Quito")
COLOURS = ("black", "blue", "green", "red", "white")
SEASONS = ("autumn", "spring", "summer", "winter")
RATINGS = tuple(step / 2 for step in range(2, 11))  # 1.0 to 5.0


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A table before its shape is chosen; two numbers of ``twins`` are easily mistaken."""

    one: str
    many: str
    label: Column | None
    categories: tuple[Column, ...]
    twins: tuple[Column, Column]
    more: tuple[Column, ...]


def _number(name: str, words: str, low: int, high: int, step: int = 1) -> Column:
    return Column(name, "number", words, tuple(range(low, high + 1, step)))


def _maybe(name: str, words: str, low: int, high: int) -> Column:
    return Column(name, "number", words, tuple(range(low, high + 1)), is_nullable=True)


def _rating(name: str, words: str) -> Column:
    return Column(name, "number", words, RATINGS)


def _category(name: str, words: str, *choices: str) -> Column:
    return Column(name, "category", words, choices)


def _label(name: str, choices: tuple[str, ...]) -> Column:
    return Column(name, "label", name, choices)


BLUEPRINTS: dict[str, tuple[Blueprint, Blueprint, Blueprint]] = {
    "library": (
        Blueprint(
            "author",
            "authors",
            _label("name", PEOPLE),
            (_category("country", "country", *COUNTRIES),),
            (
                _number("birth_year", "birth year", 1950, 1975),
                _number("debut_year", "debut year", 1970, 1995),
            ),
            (_maybe("prizes", "number of prizes", 1, 9),),
        ),
        Blueprint(
            "book",
            "books",
            _label("title", TITLES),
            (
                _category("genre", "genre", "crime", "drama", "essay", "fantasy", "poetry"),
                _category("format", "format", "audio", "hardback", "paperback"),
            ),
            (_number("price", "price", 10, 34), _number("cost", "cost", 10, 34)),
            (
                _number("pages", "number of pages", 100, 480, 20),
                _rating("rating", "rating"),
                _maybe("edition", "edition", 1, 9),
            ),
        ),
        Blueprint(
            "loan",
            "loans",
            None,
            (_category("branch", "branch", "central", "east", "north", "west"),),
            (
                _number("days_allowed", "number of days allowed", 7, 28),
                _number("days_used", "number of days used", 1, 28),
            ),
            (_maybe("fee", "fee", 1, 12),),
        ),
    ),
    "clinic": (
        Blueprint(
            "doctor",
            "doctors",
            _label("name", PEOPLE),
            (_category("specialty", "specialty", "eyes", "heart", "lungs", "skin", "teeth"),),
            (
                _number("hired_year", "year of hiring", 1995, 2015),
                _number("licence_year", "year of the licence", 1985, 2010),
            ),
            (_maybe("room_number", "room number", 1, 20),),
        ),
        Blueprint(
            "patient",
            "patients",
            _label("name", PEOPLE),
            (
                _category("city", "city", *CITIES),
                _category("blood_type", "blood type", "A", "AB", "B", "O"),
            ),
            (
                _number("weight", "weight", 50, 95, 2),
                _number("weight_last_year", "weight last year", 50, 95, 2),
            ),
            (_number("age", "age", 20, 70, 2), _maybe("siblings", "number of siblings", 1, 6)),
        ),
        Blueprint(
            "visit",
            "visits",
            None,
            (_category("reason", "reason", "check-up", "injury", "pain", "vaccine"),),
            (
                _number("minutes_waited", "minutes waited", 5, 30),
                _number("minutes_seen", "minutes seen", 5, 30),
            ),
            (_maybe("bill", "bill", 20, 60),),
        ),
    ),
    "transport": (
        Blueprint(
            "depot",
            "depots",
            _label("name", TITLES),
            (_category("city", "city", *CITIES),),
            (
                _number("gates", "number of gates", 4, 20),
                _number("lanes", "number of lanes", 4, 20),
            ),
            (_maybe("inspected_year", "year of inspection", 2010, 2024),),
        ),
        Blueprint(
            "truck",
            "trucks",
            _label(
                "plate",
                tuple(f"{a}{b}-{n}" for a in "ABCDEFGH" for b in "KLMNP" for n in range(41, 51)),
            ),
            (
                _category("fuel", "fuel", "diesel", "electric", "gas", "hydrogen"),
                _category("colour", "colour", *COLOURS),
            ),
            (
                _number("empty_weight", "empty weight", 4, 24),
                _number("full_weight", "full weight", 12, 40),
            ),
            (_rating("condition", "condition"), _maybe("seats", "number of seats", 2, 6)),
        ),
        Blueprint(
            "trip",
            "trips",
            None,
            (_category("cargo", "cargo", "coal", "fruit", "grain", "paper", "steel"),),
            (
                _number("distance", "distance", 50, 290, 10),
                _number("planned_distance", "planned distance", 50, 290, 10),
            ),
            (_maybe("delay", "delay", 1, 30),),
        ),
    ),
    "warehouse": (
        Blueprint(
            "supplier",
            "suppliers",
            _label("name", TITLES),
            (_category("country", "country", *COUNTRIES),),
            (
                _number("founded_year", "year of foundation", 1960, 1985),
                _number("contract_year", "year of the contract", 1980, 2010),
            ),
            (_maybe("discount", "discount", 1, 15),),
        ),
        Blueprint(
            "product",
            "products",
            _label("name", TITLES),
            (
                _category("material", "material", "cotton", "glass", "metal", "wood"),
                _category("colour", "colour", *COLOURS),
            ),
            (
                _number("list_price", "list price", 15, 44),
                _number("sale_price", "sale price", 10, 39),
            ),
            (
                _number("stock", "stock", 0, 95, 5),
                _rating("rating", "rating"),
                _maybe("warranty_years", "warranty in years", 1, 5),
            ),
        ),
        Blueprint(
            "shipment",
            "shipments",
            None,
            (_category("method", "method", "air", "rail", "road", "sea"),),
            (
                _number("units_sent", "number of units sent", 1, 25),
                _number("units_returned", "number of units returned", 0, 20),
            ),
            (_maybe("insurance", "insurance", 5, 30),),
        ),
    ),
    "hotel": (
        Blueprint(
            "hotel",
            "hotels",
            _label("name", TITLES),
            (_category("city", "city", *CITIES),),
            (
                _number("opened_year", "year of opening", 1970, 1995),
                _number("renovated_year", "year of renovation", 1990, 2020),
            ),
            (_maybe("pools", "number of pools", 1, 4),),
        ),
        Blueprint(
            "room",
            "rooms",
            _label("code", tuple(f"{a}{n}" for a in "ABCDEFGH" for n in range(101, 141))),
            (
                _category("view", "view", "court", "lake", "park", "sea", "street"),
                _category("bed", "bed", "double", "single", "twin"),
            ),
            (
                _number("summer_price", "summer price", 60, 155, 5),
                _number("winter_price", "winter price", 40, 135, 5),
            ),
            (
                _number("area", "area", 14, 40, 2),
                _rating("rating", "rating"),
                _maybe("floor_number", "floor number", 1, 12),
            ),
        ),
        Blueprint(
            "stay",
            "stays",
            None,
            (_category("season", "season", *SEASONS),),
            (
                _number("nights", "number of nights", 1, 20),
                _number("guests", "number of guests", 1, 20),
            ),
            (_maybe("tip", "tip", 1, 20),),
        ),
    ),
    "university": (
        Blueprint(
            "department",
            "departments",
            _label("name", TITLES),
            (_category("campus", "campus", "city", "hill", "lake", "park"),),
            (
                _number("professors", "number of professors", 5, 30),
                _number("assistants", "number of assistants", 5, 30),
            ),
            (_maybe("founded_year", "year of foundation", 1900, 1960),),
        ),
        Blueprint(
            "course",
            "courses",
            _label("title", TITLES),
            (
                _category("term", "term", *SEASONS),
                _category("language", "language", "Arabic", "English", "French", "Hindi"),
            ),
            (
                _number("seats", "number of seats", 10, 60, 2),
                _number("students", "number of students", 10, 60, 2),
            ),
            (
                _number("credits", "number of credits", 2, 12),
                _rating("rating", "rating"),
                _maybe("lab_hours", "number of lab hours", 1, 8),
            ),
        ),
        Blueprint(
            "exam",
            "exams",
            None,
            (_category("mode", "mode", "online", "oral", "project", "written"),),
            (
                _number("passed", "number of passes", 0, 25),
                _number("failed", "number of failures", 0, 25),
            ),
            (_maybe("retakes", "number of retakes", 1, 15),),
        ),
    ),
    "music": (
        Blueprint(
            "band",
            "bands",
            _label("name", TITLES),
            (_category("country", "country", *COUNTRIES),),
            (
                _number("formed_year", "year of foundation", 1970, 1990),
                _number("split_year", "year of the split", 1985, 2015),
            ),
            (_maybe("members", "number of members", 2, 9),),
        ),
        Blueprint(
            "album",
            "albums",
            _label("title", TITLES),
            (
                _category("style", "style", "blues", "folk", "jazz", "rock", "soul"),
                _category("medium", "medium", "cassette", "disc", "vinyl"),
            ),
            (
                _number("recorded_year", "year of recording", 1980, 2004),
                _number("released_year", "year of release", 1982, 2006),
            ),
            (
                _number("tracks", "number of tracks", 6, 18),
                _rating("rating", "rating"),
                _maybe("chart_peak", "chart peak", 1, 40),
            ),
        ),
        Blueprint(
            "concert",
            "concerts",
            None,
            (_category("venue", "venue", "arena", "club", "park", "theatre"),),
            (
                _number("tickets_sold", "number of tickets sold", 100, 480, 20),
                _number("tickets_offered", "number of tickets offered", 100, 480, 20),
            ),
            (_maybe("encores", "number of encores", 1, 5),),
        ),
    ),
    "farm": (
        Blueprint(
            "farm",
            "farms",
            _label("name", TITLES),
            (_category("region", "region", "coast", "hills", "plain", "valley"),),
            (
                _number("barns", "number of barns", 1, 15),
                _number("ponds", "number of ponds", 1, 15),
            ),
            (_maybe("workers", "number of workers", 2, 20),),
        ),
        Blueprint(
            "field",
            "fields",
            _label("name", TITLES),
            (
                _category("crop", "crop", "barley", "corn", "oats", "rice", "wheat"),
                _category("soil", "soil", "clay", "loam", "sand"),
            ),
            (
                _number("length_m", "length in metres", 40, 280, 10),
                _number("width_m", "width in metres", 40, 280, 10),
            ),
            (
                _number("slope", "slope", 0, 20),
                _rating("quality", "quality"),
                _maybe("fallow_years", "number of fallow years", 1, 6),
            ),
        ),
        Blueprint(
            "harvest",
            "harvests",
            None,
            (_category("season", "season", *SEASONS),),
            (
                _number("tons_expected", "number of tons expected", 5, 30),
                _number("tons_brought", "number of tons brought in", 5, 30),
            ),
            (_maybe("days_lost", "number of days lost", 1, 14),),
        ),
    ),
}
