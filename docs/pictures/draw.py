"""The pictures of the docs, out of formulas, tables of `docs/benchmarks.md` and `docs/data`.

    python docs/pictures/draw.py [FOLDER]        # writes every picture as SVG, next to this file

Nothing is drawn by hand: whoever doubts a curve changes its formula here and looks again.
Shares and recalls are in 0..1, differences in points.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import vl_convert
from numpy.typing import NDArray
from scipy.stats import norm

from sixtyfold.core.levels import level_probabilities
from sixtyfold.core.statistics import wilson

HERE = Path(__file__).parent
WIDTH, HEIGHT = 460, 240
#: Okabe and Ito's, safe for colour-blind readers; lines also differ in dash.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4]]
Row = dict[str, Any]
Floats = NDArray[np.float64]


def path() -> alt.LayerChart:
    """The main path: the commands in their order, and what each leaves behind."""
    steps = [
        ("facts", "questions, answers"),
        ("probe", "recall, level"),
        ("select", "60 examples"),
        ("tune", "checkpoint"),
        ("evaluate", "answers"),
        ("compare", "kept, lost, gained"),
        ("drift, diff", "what moved"),
        ("search, restore", "repair"),
        ("report", "one HTML file"),
    ]
    rows = [
        {"x": index % 5, "y": -(index // 5), "command": command, "leaves": leaves}
        for index, (command, leaves) in enumerate(steps)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.6, 4.6])),
        y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-1.6, 0.6])),
    )
    arrows = base.transform_filter("datum.x < 4 && datum.command != 'report'")
    return (
        base.mark_rect(width=128, height=58, color="#e8f1f8", stroke=COLOURS[0], cornerRadius=6)
        + base.mark_text(dy=-9, fontWeight="bold", fontSize=13).encode(text="command:N")
        + base.mark_text(dy=11, fontSize=12).encode(text="leaves:N")
        + arrows.mark_text(dx=72, text="▸", fontSize=15, color=COLOURS[0])
    )


def one_path() -> alt.LayerChart:
    """What survival sees on one path: a made-up h_t of each step and the product of 1 - h_t."""
    hazards = [0.02, 0.08, 0.05, 0.30, 0.12, 0.04, 0.02, 0.01]
    left = np.cumprod(1 - np.array(hazards))
    rows = [
        {"step": step, "value": value, "what": what}
        for what, values in (("h: would complete a hit", hazards), ("no hit until here", left))
        for step, value in enumerate(values, 1)
    ]
    names = ["h: would complete a hit", "no hit until here"]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:O", title="token", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title="probability", scale=alt.Scale(domain=[0, 1])),
        color=_colour("what", names),
    )
    bars = base.transform_filter(alt.datum.what == names[0]).mark_bar()
    line = base.transform_filter(alt.datum.what == names[1]).mark_line(point=True)
    return bars + line


def cost_of_recall() -> alt.Chart:
    """Error of recall over sampled tokens, as measured (`docs/benchmarks.md`, the probe)."""
    text = (HERE.parent / "benchmarks.md").read_text(encoding="utf-8")
    rows = []
    for line in re.findall(r"^\| (papers'|survival|×)(.*)$", text, re.MULTILINE):
        cells = [cell.strip(" *") for cell in "".join(line).split("|")]
        if len(cells) < 7 or not cells[3].startswith("."):
            continue
        kind = "even" if "even" in cells[0] else "allocated"
        names = {True: "plain draws (papers)", False: f"survival, {kind}"}
        rows.append(
            {
                "tokens": int(cells[4].replace(",", "")),
                "error": float(cells[3]),
                "how": names["papers" in cells[0]],
            }
        )
    names = ["plain draws (papers)", "survival, allocated", "survival, even"]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=70)
        .encode(
            x=alt.X("tokens:Q", title="sampled tokens a fact", scale=alt.Scale(type="log")),
            y=alt.Y("error:Q", title="error of recall (RMSE)"),
            color=_colour("how", names),
            shape=alt.Shape("how:N", sort=names, legend=None),
        )
    )


def levels_by_recall() -> alt.HConcatChart:
    """Which level a fact of a known recall gets, under 210 and under 21 draws."""

    def shares(draws: int) -> list[Row]:
        return [
            {"recall": float(recall), "share": float(share), "level": str(level)}
            for recall in np.linspace(0, 1, 101)
            for level, share in enumerate(level_probabilities([recall] * 21, draws))
        ]

    def chart(draws: int) -> alt.Chart:
        return (
            alt.Chart(
                alt.Data(values=shares(draws)),
                title=f"21 templates × {draws} draw{'s' * (draws > 1)}",
                width=WIDTH // 2,
                height=HEIGHT,
            )
            .mark_area()
            .encode(
                x=alt.X("recall:Q", title="true recall"),
                y=alt.Y(
                    "share:Q",
                    title="probability of the level",
                    stack=True,
                    scale=alt.Scale(domain=[0, 1]),
                ),
                color=_colour("level", list("01234")),
            )
        )

    return alt.hconcat(chart(10), chart(1))


def what_goes_back() -> alt.HConcatChart:
    """The fifth of made-up weights that three rules put back first."""
    base, change = _weights(300)
    scores = _scores(base, change)
    charts = []
    for name in ("relative", "absolute", "random"):
        cut = np.quantile(scores[name], 0.8)
        rows = [
            {"base": float(w), "change": float(d), "goes back": "yes" if s > cut else "no"}
            for w, d, s in zip(base, change, scores[name], strict=True)
        ]
        charts.append(
            alt.Chart(alt.Data(values=rows), title=name, width=WIDTH // 3, height=WIDTH // 3)
            .mark_point(filled=True, size=12, opacity=0.8)
            .encode(
                x=alt.X("base:Q", title="base weight", axis=alt.Axis(tickCount=3)),
                y=alt.Y("change:Q", title="update", axis=alt.Axis(tickCount=3)),
                color=_colour("goes back", ["yes", "no"], ["#0072b2", "#b8b8b8"]),
            )
        )
    return alt.hconcat(*charts)


def concentration() -> alt.Chart:
    """Share of the sum that the largest part holds, for updates that mean nothing."""
    base, change = _weights(400_000)
    rows = []
    for name, title in (("relative", "|Δ| / |base|"), ("absolute", "|Δ|")):
        largest = np.sort(_scores(base, change)[name])[::-1]
        held = np.cumsum(largest) / largest.sum()
        for top in np.linspace(0.005, 1, 100):
            index = round(top * len(held)) - 1
            rows.append({"top": float(top), "share": float(held[index]), "what": title})
    return _lines(rows, "top", "share", "what", "largest part of the weights", "share of the sum")


def remaining_norm() -> alt.Chart:
    """What remains of an update when a share of it is put back, by rule (normal, independent)."""
    base, change = _weights(400_000)
    whole = float((change**2).sum())
    rows = []
    for name, scores in _scores(base, change).items():
        put_back = np.cumsum(change[np.argsort(-scores, kind="stable")] ** 2)
        for share in np.linspace(0.01, 1, 100):
            removed = put_back[round(share * len(change)) - 1]
            left = float(np.sqrt(max(0.0, 1 - removed / whole)))
            rows.append({"share": float(share), "norm": left, "rule": name})
    return _lines(rows, "share", "norm", "rule", "weights put back", "remaining norm of the update")


def interval_by_facts() -> alt.Chart:
    """Half the width of a 95% interval of one accuracy, in points (Wilson)."""
    rows = []
    for total in (25, 50, 100, 200, 400, 800, 1600, 3200):
        for share in (0.1, 0.5):
            found = wilson(round(share * total), total)
            assert found is not None  # noqa: S101 - total is above 0
            rows.append(
                {
                    "facts": total,
                    "points": 50 * (found.high - found.low),
                    "accuracy": f"{share:.0%}",
                }
            )
    chart = _lines(rows, "facts", "points", "accuracy", "test facts", "± points")
    return chart.encode(x=alt.X("facts:Q", title="test facts", scale=alt.Scale(type="log")))


def best_of_many() -> alt.Chart:
    """How much better than it is the best of many equal candidates looks, in points."""
    grid = np.linspace(-6, 8, 4001)
    rows = []
    for facts in (100, 400, 1600):
        error = 100 * np.sqrt(0.25 / facts)
        for count in (1, 2, 3, 5, 8, 13, 21, 34, 55, 92):
            density = count * norm.pdf(grid) * norm.cdf(grid) ** (count - 1)
            expected = float(np.trapezoid(grid * density, grid))
            rows.append({"count": count, "points": error * expected, "facts": f"{facts:,}"})
    chart = _lines(rows, "count", "points", "facts", "candidates, all equal", "points too high")
    return chart.encode(
        x=alt.X("count:Q", title="candidates, all equal", scale=alt.Scale(type="log"))
    )


def facts_and_trainings() -> alt.Chart:
    """How often an interval over facts alone holds the truth, when trainings differ as well."""
    rows = []
    for facts in (100, 400, 1600):
        over_facts = 100 * np.sqrt(0.25 / facts)
        for spread in np.linspace(0, 6, 61):
            wider = np.sqrt(over_facts**2 + spread**2)
            held = float(2 * norm.cdf(1.96 * over_facts / wider) - 1)
            rows.append({"spread": float(spread), "held": held, "facts": f"{facts:,}"})
    return _lines(
        rows, "spread", "held", "facts", "points by which equal trainings differ (SD)",
        "intervals that hold the truth",
    )  # fmt: skip


def planted_levels() -> alt.FacetChart:
    """Accuracy after training on facts of one level, of each planted model (`docs/findings.md`)."""
    table = pl.read_parquet(HERE.parent / "data" / "planted-contrasts.parquet").filter(
        pl.col("vary").is_null() & pl.col("against").is_null(),
        pl.col("grid").str.starts_with("levels"), measure="accuracy", over="relations", domain="in",
    )  # fmt: skip
    rows = [
        {"model": row["model"].replace("-", ", ", 1).replace("-", " "),
         "level": row["levels"], "size": row["size"],
         **{name: round(row[name], 4) for name in ("value", "low", "high")}}
        for row in table.sort("model", "size", "levels").to_dicts()
    ]  # fmt: skip
    order = ["natural", "0", "1", "2", "2,3", "3", "4"]
    base = alt.Chart().encode(
        x=alt.X("level:N", sort=order, title="trained on level", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("size:N", sort=["60", "240"]),
        color=alt.Color(
            "size:N", sort=["60", "240"], title="examples",
            scale=alt.Scale(domain=["60", "240"], range=COLOURS[:2]),
        ),
    )  # fmt: skip
    accuracy = alt.Axis(format="%")
    points = base.mark_point(filled=True, size=45).encode(
        y=alt.Y("value:Q", title="accuracy in domain", axis=accuracy),
        shape=alt.Shape(
            "size:N", sort=["60", "240"], title="examples", scale=alt.Scale(domain=["60", "240"])
        ),
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    layers = alt.layer(bars, points, data=alt.Data(values=rows))
    return layers.properties(width=210, height=200).facet(alt.Column("model:N", title=None))


def _weights(count: int) -> tuple[Floats, Floats]:
    """Made-up base weights and an update without meaning: independent normal numbers."""
    draws = np.random.default_rng(0).standard_normal((2, count))
    return 0.02 * draws[0], 0.0002 * draws[1]


def _scores(base: Floats, change: Floats) -> dict[str, Floats]:
    """What goes back first, by rule: the highest score."""
    size = np.abs(change)
    return {
        "relative": size / (np.abs(base) + 1e-8),
        "absolute": size,
        "random": np.random.default_rng(1).random(len(change)),
        "smallest": -size,
    }


def _colour(field: str, names: Sequence[str], colours: Sequence[str] = COLOURS) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=list(colours)[: len(names)])
    return alt.Color(f"{field}:N", scale=scale, sort=list(names))


def _lines(rows: list[Row], x: str, y: str, by: str, x_title: str, y_title: str) -> alt.Chart:
    names = list(dict.fromkeys(row[by] for row in rows))
    dash = alt.Scale(domain=names, range=DASHES[: len(names)])
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X(f"{x}:Q", title=x_title),
            y=alt.Y(f"{y}:Q", title=y_title),
            color=_colour(by, names),
            strokeDash=alt.StrokeDash(f"{by}:N", scale=dash, sort=names),
        )
    )


PICTURES: tuple[Callable[[], Any], ...] = (
    path, one_path, cost_of_recall, levels_by_recall, what_goes_back, concentration, remaining_norm,
    interval_by_facts, best_of_many, facts_and_trainings, planted_levels,
)  # fmt: skip


def svg(picture: Callable[[], Any]) -> str:
    """Return one picture as SVG, on white, so that it is readable on any page."""
    chart = picture()
    if isinstance(chart, alt.Chart | alt.LayerChart):
        wide = picture is path
        chart = chart.properties(width=740 if wide else WIDTH, height=160 if wide else HEIGHT)
    configured = chart.configure(
        aria=False, background="white", font="sans-serif", padding=12
    ).configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal").configure_legend(
        labelFontSize=12, titleFontSize=12, titleFontWeight="normal"
    )  # fmt: skip
    return str(vl_convert.vegalite_to_svg(configured.to_dict()))


def main(folder: Path) -> None:
    """Write every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        (folder / f"{picture.__name__}.svg").write_text(svg(picture), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
