"""Stories about people at home: shopping, savings, sharing, ages, baking."""

# ruff: noqa: E501  (a line of the tables is a whole sentence)

from __future__ import annotations

from minirl.envs.word_problems.family import Family, lines, parts

SHOPPING = Family(
    name="shopping",
    words={
        "things": ("notebooks", "mugs", "candles", "cushions", "plates", "lamps", "plants"),
        "more": ("bags of rice", "jars of honey", "packs of tea", "boxes of tiles"),
        "one": ("a kettle", "a rug", "a clock", "a mirror", "a toaster"),
    },
    starts=parts(
        """
        groups     {who} buys {a} {things} at ${b} each.
        sum        {who} buys a chair for ${a} and a table for ${b}.
        and_times  A scarf costs ${n} and a coat costs {times} as much; {who} buys both.
        groups_and {who} buys {a} {things} at ${b} each and a basket for ${c}.
        have       {who} buys {one} for ${n}.
        """
    ),
    events=parts(
        """
        plus           {She} adds a tool set for ${n}.
        plus           Delivery costs another ${n}.
        plus_groups    {She} also takes {a} {more} at ${b} each.
        minus          A voucher takes ${n} off the bill.
        minus_groups   {She} hands in {a} coupons worth ${b} each, which are taken off the bill.
        minus_percent  The shop then takes {p}% off the whole bill.
        minus_fraction A sale takes {fraction} off the bill so far.
        plus_percent   A tax of {p}% is added to everything so far.
        plus_two       {She} adds a hammer for ${n} and a drill that costs {times} as much.
        """
    ),
    ends=parts(
        """
        ask        How many dollars does {who} pay?
        change_of  {She} pays with ${n}. How many dollars of change does {she} get?
        share      {who} and some friends, {n} people in all, split the bill evenly. How many dollars does each of them pay?
        each       {She} places the same order in each of {n} months. How many dollars does {she} pay altogether?
        with_less  Another customer's bill is ${n} lower. How many dollars do the two pay together?
        share_each {She} may pay in equal parts of ${n}, and each part comes with a fee of ${c}. How many dollars of fees does {she} pay?
        """
    ),
    asides=lines(
        """
        The shop has been open for {n} years.
        There are {n} other people in the line.
        The shop sells {n} kinds of soap.
        """
    ),
)

SAVINGS = Family(
    name="savings",
    words={"gift": ("a book", "a present", "new shoes", "a board game", "a concert ticket")},
    starts=parts(
        """
        have       {who} has ${n} in a savings box.
        groups     {who} saves ${b} a week for {a} weeks.
        groups_and {who} has ${c} and saves another ${b} a week for {a} weeks.
        sum        {who} gets ${a} for {her} birthday and earns ${b} by mowing lawns.
        and_times  {who} earns ${n} in May and {times} as much in June.
        """
    ),
    events=parts(
        """
        plus           {Her} aunt gives {him} ${n}.
        plus           {She} finds ${n} in an old jacket.
        minus          {She} spends ${n} on {gift}.
        minus          {She} lends ${n} to a neighbor.
        plus_groups    {She} walks a dog {a} times and gets ${b} each time.
        minus_groups   {She} buys {a} cinema tickets at ${b} each.
        minus_fraction {She} spends {fraction} of {her} money on a bicycle.
        minus_percent  {She} gives {p}% of {her} money to charity.
        plus_percent   The bank adds {p}% to what {she} has.
        times          {Her} grandfather adds enough for {him} to have {times} as much as before.
        minus_two      {She} pays ${n} for a shirt and ${d} more than that for trousers.
        """
    ),
    ends=parts(
        """
        ask        How many dollars does {who} have now?
        missing    A guitar costs ${n}. How many dollars does {who} still need?
        share      {She} puts the money into {n} envelopes, the same amount in each. How many dollars are in one envelope?
        with_times {Her} brother has {times} as much as {she} has now. How many dollars do they have together?
        with_less  {Her} sister has ${n} less than {she} has now. How many dollars do they have together?
        """
    ),
    asides=lines(
        """
        The bank has {n} branches.
        The bank is {n} minutes away by bus.
        There are {n} stamps in a drawer beside the box.
        """
    ),
)

SHARING = Family(
    name="sharing",
    words={
        "things": ("marbles", "stickers", "shells", "stamps", "beads", "buttons", "cards"),
        "box": ("box", "bag", "jar", "packet"),
    },
    starts=parts(
        """
        have       {who} has {n} {things}.
        groups     {who} opens {a} new packs of {things}; there are {b} {things} in each pack.
        sum        {who} has {a} red {things} and {b} blue {things}.
        groups_and {who} has {c} {things} and buys {a} packs of {b} {things} each.
        and_times  {who} collects {n} {things} on Saturday and {times} as many on Sunday.
        """
    ),
    events=parts(
        """
        minus          {She} gives {n} of them to a friend.
        minus          {She} loses {n} of them on the way to school.
        plus           {She} wins {n} more in a game.
        plus_groups    {a} friends give {him} {b} {things} each.
        minus_groups   {She} gives {b} {things} to each of {a} cousins.
        minus_fraction {She} trades {fraction} of {her} {things} for a toy car.
        fraction       {She} keeps only {fraction} of {her} {things} and gives the rest away.
        minus_percent  {She} sells {p}% of {her} {things}.
        times          At a fair {she} swaps everything for {times} as many {things}.
        minus_two      {She} gives {n} {things} to one child and {d} more than that to another.
        plus_two       {She} finds {n} {things} in the attic and {times} as many in the cellar.
        """
    ),
    ends=parts(
        """
        ask        How many {things} does {who} have now?
        share      {She} divides them equally among {n} children. How many {things} does each child get?
        missing    {She} wants to have {n} {things}. How many more does {she} need?
        with_times {Her} neighbor has {times} as many {things} as {she} has now. How many do they have together?
        with_less  A classmate has {n} {things} fewer than {she} has now. How many do they have together?
        share_each {She} packs them by {n} into a {box} each and sells every {box} for ${c}. How many dollars does {she} get?
        """
    ),
    asides=lines(
        """
        The youngest child in the street is {n} months old.
        The oldest of the {things} is {n} years old.
        The toy shop is open for {n} hours a week.
        """
    ),
)

AGES = Family(
    name="ages",
    words={},
    first=(4, 12),
    change=(2, 15),
    most=110,
    starts=parts(
        """
        have {who} is {n} years old.
        sum  {who} started school at the age of {a}, which was {b} years ago.
        """
    ),
    events=parts(
        """
        plus     {new} is {n} years older than {who}.
        minus    {new} is {n} years younger than {who}.
        times    {new} is {times} as old as {who}.
        fraction {new} is {fraction} as old as {who}.
        plus     {new} was born {n} years before {who}.
        minus    {new} was born {n} years after {who}.
        """
    ),
    ends=parts(
        """
        ask        How old is {who}?
        plus       How old will {who} be in {n} years?
        minus      How old was {who} {n} years ago?
        missing    In how many years will {who} be {n} years old?
        with_times A neighbor is {times} as old as {who}. What is the sum of the ages of the two?
        with_less  A cousin is {n} years younger than {who}. What is the sum of the ages of the two?
        """
    ),
    asides=lines(
        """
        The house where they meet has {n} windows.
        The family dog weighs {n} kilograms.
        Their street is {n} meters long.
        """
    ),
)

BAKING = Family(
    name="baking",
    words={
        "things": ("cookies", "muffins", "rolls", "pies", "pretzels", "waffles"),
        "tray": ("tray", "sheet", "rack"),
    },
    starts=parts(
        """
        groups     {who} bakes {a} {tray}s with {b} {things} on each.
        have       {who} bakes {n} {things} for a fair.
        groups_and {who} bakes {a} {tray}s with {b} {things} on each, and {c} {things} came from a neighbor.
        and_times  {who} bakes {n} {things} in the morning and {times} as many in the afternoon.
        sum        {who} bakes {a} sweet {things} and {b} salty {things}.
        """
    ),
    events=parts(
        """
        minus          {n} of them burn.
        minus          The children eat {n} of them.
        plus           A second oven yields {n} more.
        plus_groups    {a} helpers bring {b} {things} each.
        minus_groups   {She} fills {a} plates with {b} {things} each for the neighbors.
        minus_fraction {She} freezes {fraction} of them.
        minus_percent  {p}% of them turn out too small and are thrown away.
        times          Helpers then make sure that there are {times} as many as before.
        minus_two      One club orders {n} {things}, another {d} more than the first, and both orders are picked up.
        plus_two       A bakery sends {n} {things} and a hotel sends {times} as many as the bakery.
        """
    ),
    ends=parts(
        """
        ask        How many {things} does {who} have left?
        share      {She} packs the rest into boxes of {n}. How many boxes does {she} fill?
        each       {She} sells all of the rest at ${n} each. How many dollars does {she} take in?
        each_less  {She} sells all of the rest at ${n} each, and the ingredients cost ${c}. How many dollars of profit does {she} make?
        share_each {She} packs the rest into boxes of {n} and sells each box for ${c}. How many dollars does {she} take in?
        missing    {n} {things} are needed. How many are missing?
        """
    ),
    asides=lines(
        """
        The recipe is {n} years old.
        One of the {things} takes {n} minutes in the oven.
        The kitchen has {n} square meters.
        """
    ),
)
