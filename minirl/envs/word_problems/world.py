"""Stories from outside: travel, farms, factories, reading, schools, water, games."""

# ruff: noqa: E501  (a line of the tables is a whole sentence)

from __future__ import annotations

from minirl.envs.word_problems.family import Family, lines, parts

TRAVEL = Family(
    name="travel",
    words={"by": ("a bus", "a train", "a motorbike", "a van")},
    first=(10, 1000),
    change=(3, 1000),
    each=(5, 80),
    starts=parts(
        """
        groups     {who} travels for {a} hours at {b} kilometers per hour.
        have       {who} sets out from home and goes {n} kilometers along a straight road.
        sum        {who} goes {a} kilometers before lunch and {b} kilometers after it, always away from home.
        groups_and {who} goes {c} kilometers and then travels for {a} hours at {b} kilometers per hour, always straight away from home.
        and_times  {who} goes {n} kilometers on the first day and {times} as far on the second, always straight away from home.
        """
    ),
    events=parts(
        """
        plus         {She} goes on for {n} kilometers on {by}.
        minus        {She} turns around and comes {n} kilometers back, then turns again.
        plus_groups  {She} goes on for {a} hours at {b} kilometers per hour.
        minus_groups {She} heads back for {a} hours at {b} kilometers per hour, then turns again.
        times        {She} goes on until {she} is {times} as far from home.
        fraction     {She} comes back until only {fraction} of that distance from home is left, then turns again.
        plus_percent {She} then adds {p}% to the distance from home.
        plus_two     {She} goes on for {n} kilometers by boat and {times} as far by plane.
        """
    ),
    ends=parts(
        """
        ask        How many kilometers is {who} from home?
        share      The way straight home takes {n} hours. At how many kilometers per hour does {she} travel?
        missing    The sea is {n} kilometers from home in the same direction. How many kilometers are left to the sea?
        share_each {She} goes straight home in a car that needs one liter of fuel for {n} kilometers, at ${c} a liter. How many dollars does the fuel cost?
        with_less  The way home by another road is {n} kilometers shorter. How many kilometers are the two ways together?
        """
    ),
    asides=lines(
        """
        {Her} bag weighs {n} kilograms.
        The road was built {n} years ago.
        {n} trucks come the other way.
        """
    ),
)

FARM = Family(
    name="farm",
    words={
        "fruit": ("apples", "pears", "peaches", "lemons", "plums", "oranges"),
        "crate": ("crate", "basket", "sack"),
    },
    starts=parts(
        """
        groups     A farmer picks {b} {fruit} from each of {a} trees.
        have       A farmer has {n} {fruit} in the barn.
        sum        A farmer picks {a} {fruit} from the old trees and {b} {fruit} from the young ones.
        groups_and A farmer picks {b} {fruit} from each of {a} trees and has {c} {fruit} left from yesterday.
        and_times  A farmer picks {n} {fruit} on Monday and {times} as many on Tuesday.
        """
    ),
    events=parts(
        """
        minus          Birds eat {n} of them.
        minus          A hotel takes {n} of them.
        plus           The neighbors bring {n} more.
        plus_groups    {a} workers pick another {b} {fruit} each.
        minus_groups   {a} customers buy {b} {fruit} each.
        minus_fraction {fraction} of the {fruit} go into jam.
        fraction       After a storm only {fraction} of the {fruit} can be used.
        minus_percent  {p}% of the {fruit} are rotten and thrown away.
        plus_percent   The next morning adds {p}% to the {fruit} at hand.
        times          By the end of the week the farmer has {times} as many.
        minus_two      One stall gets {n} {fruit}, and another gets {d} more than that.
        """
    ),
    ends=parts(
        """
        ask        How many {fruit} does the farmer have now?
        share      They are packed into {crate}s of {n}. How many {crate}s are filled?
        each       Each of the {fruit} is sold for ${n}. How many dollars does the farmer take in?
        share_each They are packed into {crate}s of {n}, and a {crate} sells for ${c}. How many dollars does the farmer take in?
        missing    A juice maker wants {n} {fruit}. How many are missing?
        with_times Another farm has {times} as many. How many {fruit} do the two farms have together?
        """
    ),
    asides=lines(
        """
        The barn is {n} years old.
        The nearest town is {n} kilometers away.
        The farmer has {n} chickens as well.
        """
    ),
)

FACTORY = Family(
    name="factory",
    words={"parts": ("bolts", "hinges", "gears", "valves", "springs", "screws", "lenses")},
    starts=parts(
        """
        groups     A machine makes {b} {parts} an hour and runs for {a} hours.
        groups_and A workshop has {c} {parts} in stock, and a machine makes {b} more an hour for {a} hours.
        have       A workshop has {n} {parts} in stock.
        and_times  An old machine makes {n} {parts} a day and a new one {times} as many; both run for one day.
        sum        The day shift makes {a} {parts} and the night shift makes {b}.
        """
    ),
    events=parts(
        """
        minus         {n} of them are faulty and are thrown away.
        minus         A customer picks up {n} of them.
        plus          A supplier sends {n} more.
        plus_groups   {a} workers make {b} more each by hand.
        minus_groups  {a} orders of {b} {parts} each are shipped.
        minus_percent A check finds {p}% of all {parts} too short, and they are melted down.
        plus_percent  A faster belt adds {p}% to the number of {parts}.
        minus_fraction {fraction} of the {parts} go to another plant.
        times         With extra shifts the stock grows to {times} its size.
        plus_two      Line A adds {n} {parts} and line B adds {times} as many as line A.
        minus_two     A garage buys {n} {parts} and a shipyard buys {d} more than the garage.
        """
    ),
    ends=parts(
        """
        ask        How many {parts} are there now?
        share      The {parts} are spread evenly over {n} shelves. How many {parts} lie on each shelf?
        each       Each of the {parts} weighs {n} grams. How many grams do they weigh together?
        missing    An order asks for {n} {parts}. How many are still to be made?
        each_less  All of the {parts} are sold at ${n} each, and shipping costs ${c}. How many dollars are left after shipping?
        share_each Boxes hold {n} {parts} each, and an empty box costs ${c}. How many dollars do the boxes for all {parts} cost?
        """
    ),
    asides=lines(
        """
        The workshop stands {n} meters from the river.
        Its gate was painted {n} weeks ago.
        The canteen has {n} chairs.
        """
    ),
)

READING = Family(
    name="reading",
    words={"book": ("novel", "history book", "travel guide", "biography")},
    first=(10, 1000),
    starts=parts(
        """
        have       {who} has a {book} with {n} pages to read.
        sum        {who} has to read two books, one of {a} pages and one of {b} pages.
        groups     {who} has to read {a} chapters of {b} pages each.
        groups_and {who} has to read {a} chapters of {b} pages each and a preface of {c} pages.
        and_times  {who} has to read a {book} of {n} pages and a second one that is {times} as long.
        """
    ),
    events=parts(
        """
        minus          On one day {she} reads {n} pages.
        minus          On a train {she} reads {n} pages.
        minus_groups   For {a} days {she} reads {b} pages a day.
        minus_fraction At the weekend {she} reads {fraction} of what is left.
        minus_percent  On a long flight {she} reads {p}% of what is left.
        plus           The teacher adds {n} pages to what {she} has to read.
        plus_groups    The teacher adds {a} stories of {b} pages each.
        minus_two      {She} reads {n} pages one evening and {d} pages more than that the next.
        """
    ),
    ends=parts(
        """
        ask       How many pages does {who} still have to read?
        share     {She} wants to read the rest in {n} days, the same number of pages each day. How many pages a day is that?
        each      One page takes {him} {n} minutes to read, says {who}. How many minutes does the rest take?
        with_less A friend has {n} pages fewer left to read. How many pages do the two have left together?
        """
    ),
    asides=lines(
        """
        The library lends books for {n} days.
        The author was {n} years old when she began to write.
        There are {n} seats in the reading room.
        """
    ),
)

SCHOOL = Family(
    name="school",
    words={"club": ("choir", "chess club", "drama group", "swimming team")},
    first=(10, 1000),
    starts=parts(
        """
        have       A {club} has {n} members.
        groups     {a} classes of {b} children each join a {club} that had no members.
        sum        A {club} has {a} girls and {b} boys.
        groups_and A {club} has {c} members, and then {a} classes of {b} children each join it.
        and_times  A {club} begins with {n} members, and in the first month {times} as many join it.
        """
    ),
    events=parts(
        """
        plus_percent   Over the summer the number of members grows by {p}%.
        minus_percent  At the end of term {p}% of the members leave.
        minus          {n} members move to another city.
        plus           {n} children from another school join.
        plus_groups    {a} families join with {b} children each.
        minus_fraction {fraction} of the members stop coming.
        times          After a show on television there are {times} as many members as before.
        minus_two      {n} members leave for a band, and {d} more than that leave for a sports club.
        plus_two       An open day brings {n} new members and a concert brings {times} as many as the open day.
        """
    ),
    ends=parts(
        """
        ask        How many members does the {club} have now?
        share      The members stand in {n} equal rows. How many members are in a row?
        share_each They travel in vans with {n} seats each, all full, and a van costs ${c}. How many dollars do the vans cost?
        each       Each member pays ${n} a year. How many dollars does the {club} get in a year?
        each_less  Each member pays ${n} a year, and the hall costs ${c} a year. How many dollars are left after paying for the hall?
        with_times The school next door has {times} as many members in its {club}. How many members do the two have together?
        """
    ),
    asides=lines(
        """
        The school was founded {n} years ago.
        The hall has {n} lamps.
        The piano weighs {n} kilograms.
        """
    ),
)

TANK = Family(
    name="tank",
    words={"tank": ("rain tank", "fish pond", "swimming pool", "water tower")},
    first=(10, 1000),
    starts=parts(
        """
        have       A {tank} holds {n} liters of water.
        groups     Water runs into an empty {tank} at {b} liters a minute for {a} minutes.
        groups_and A {tank} holds {c} liters, and water runs in at {b} liters a minute for {a} minutes.
        sum        Two pipes fill an empty {tank}; one brings {a} liters and the other brings {b} liters.
        """
    ),
    events=parts(
        """
        minus          {n} liters are used for the garden.
        minus_groups   A leak loses {b} liters an hour for {a} hours.
        plus           Rain adds {n} liters.
        plus_groups    {a} buckets of {b} liters each are poured in.
        minus_fraction {fraction} of the water is let out.
        minus_percent  {p}% of the water evaporates.
        times          Then it is filled up to {times} the amount.
        fraction       A pump runs until only {fraction} of the water is left.
        minus_two      One neighbor takes {n} liters and another takes {d} liters more than that.
        """
    ),
    ends=parts(
        """
        ask        How many liters are in it now?
        missing    It is full at {n} liters. How many liters are missing?
        share      A drain lets out {n} liters a minute. How many minutes does it take to empty it?
        share_each The water is filled into cans of {n} liters, and a can sells for ${c}. How many dollars do all cans bring?
        with_times A second one holds {times} as much water. How many liters do the two hold together?
        """
    ),
    asides=lines(
        """
        The ladder beside it is {n} steps high.
        It was painted {n} months ago.
        {n} birds sit on its edge.
        """
    ),
)

GAME = Family(
    name="game",
    words={"game": ("a quiz", "a card game", "a video game", "an archery contest")},
    starts=parts(
        """
        have       In {game} {who} starts with {n} points.
        groups     In {game} {who} scores {b} points in each of {a} rounds.
        sum        In {game} {who} scores {a} points in the first round and {b} in the second.
        groups_and In {game} {who} starts with {c} points and scores {b} points in each of {a} rounds.
        """
    ),
    events=parts(
        """
        plus           {She} wins {n} points in the next round.
        minus          {She} loses {n} points for a mistake.
        times          A joker makes {her} score {times} as high.
        fraction       A penalty leaves {him} only {fraction} of {her} points.
        plus_groups    {She} hits {a} targets worth {b} points each.
        minus_groups   {She} makes {a} mistakes that cost {b} points each.
        minus_fraction {She} has to hand {fraction} of {her} points to a rival.
        plus_percent   A bonus adds {p}% to {her} points.
        minus_percent  {She} spends {p}% of {her} points on a hint.
        minus_two      {She} pays {n} points for a shield and {d} points more than that for a sword.
        plus_two       {She} gets {n} points for a puzzle and {times} as many for the next puzzle.
        """
    ),
    ends=parts(
        """
        ask        How many points does {who} have at the end?
        missing    The record is {n} points. How many points short of the record is {who}?
        with_less  {Her} partner has {n} points fewer. How many points do the two have together?
        with_times The winner has {times} as many points as {who}. How many points do the two have together?
        share      Every {n} points buy one prize. How many prizes can {who} get for all points?
        """
    ),
    asides=lines(
        """
        One round lasts {n} minutes.
        {n} people are watching.
        The game comes with {n} pages of rules.
        """
    ),
)
