// Numbers in words; every rate with its interval and its n.

const DASH = "–";
const there = (x) => typeof x === "number" && Number.isFinite(x);

function count(x) {
  return there(x) ? Math.round(x).toLocaleString("en-GB") : DASH;
}

function short(x) {
  if (!there(x)) return DASH;
  const size = Math.abs(x);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return power(x);
  return minus(String(Number(x.toPrecision(3))));
}

const minus = (text) => text.replace("-", "−");

// "4·10⁻⁵"
function power(x) {
  const [digits, exponent] = x.toExponential(1).split("e");
  return `${minus(digits.replace(".0", ""))}·10${raised(exponent)}`;
}

function fixed(x, digits) {
  return there(x) ? minus(x.toFixed(digits)) : DASH;
}

function percent(x, digits = 1) {
  return there(x) ? `${(100 * x).toFixed(digits)}\u00a0%` : DASH;
}

// "43.0 % [38.1, 48.0]"
function share(r, digits = 1) {
  if (!r || !there(r.value)) return DASH;
  const bounds = there(r.low) && there(r.high)
    ? ` [${(100 * r.low).toFixed(digits)}, ${(100 * r.high).toFixed(digits)}]` : "";
  return percent(r.value, digits) + bounds;
}

function rate(r) {
  if (!r || !there(r.value)) return DASH;
  if (!there(r.n)) return share(r);
  const tasks = there(r.tasks) && r.tasks !== r.n ? `, ${count(r.tasks)} tasks` : "";
  return `${share(r)} (n\u00a0=\u00a0${count(r.n)}${tasks})`;
}

function signed(x, digits = 1) {
  if (!there(x)) return DASH;
  const text = Math.abs(x).toFixed(digits);
  return (x < 0 && Number(text) !== 0 ? "−" : "+") + text;
}

// A difference of rates in points: "+12.0 [+7.5, +16.4]"
function points(d, digits = 1) {
  if (!d || !there(d.value)) return DASH;
  return `${signed(100 * d.value, digits)} [${signed(100 * d.low, digits)}, ${signed(100 * d.high, digits)}]`;
}

function span(s, digits = 2) {
  if (!s || !there(s.value)) return DASH;
  if (!there(s.low)) return fixed(s.value, digits);
  return `${fixed(s.value, digits)} [${fixed(s.low, digits)}, ${fixed(s.high, digits)}]`;
}

function signedSpan(s, digits = 2) {
  if (!s || !there(s.value)) return DASH;
  return `${signed(s.value, digits)} [${signed(s.low, digits)}, ${signed(s.high, digits)}]`;
}

function duration(seconds) {
  if (!there(seconds)) return DASH;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

function pValue(p) {
  if (!there(p)) return DASH;
  if (p >= 0.001) return p.toFixed(p < 0.1 ? 3 : 2);
  return p < 1e-12 ? "< 10⁻¹²" : power(p);
}

function raised(exponent) {
  return [...exponent].map((d) => ({ "-": "⁻", "+": "" })[d] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(d)]).join("");
}

// A tick of a difference in points.
function tick(v) {
  return v === 0 ? "0" : signed(100 * v, 0);
}

function bytes(x) {
  return there(x) ? `${(x / 1e9).toFixed(x < 1e9 ? 2 : 1)} GB` : DASH;
}
